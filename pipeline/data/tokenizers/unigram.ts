// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Segmentation with a unigram language model (Kudo 2018): of all ways to spell a text with pieces, the
 * one with the greatest sum of scores.
 *
 * @module
 */

import { Trie } from "./trie.ts";

/** What an unknown character costs below the worst piece (`kUnkPenalty` of SentencePiece). */
export const UNKNOWN_PENALTY = 10;

/** A piece of a vocabulary. */
export interface UnigramPiece {
  readonly id: number;
  readonly text: string;
  /** Its log-probability. */
  readonly score: number;
}

/** A part of a text and its token. */
export interface Segment {
  readonly id: number;
  readonly start: number;
  /** Exclusive, in UTF-16 code units. */
  readonly end: number;
}

/** How a vocabulary is used. */
export interface UnigramOptions {
  /** Token of a character that no piece spells. */
  readonly unknownId: number;
  /** Score of that token. */
  readonly unknownScore: number;
  /**
   * What sums of scores are rounded to when they are stored.
   *
   * @default float64
   */
  readonly round?: (sum: number) => number;
}

/**
 * A unigram vocabulary.
 *
 * @example
 * ```ts
 * import { Unigram } from "./unigram.ts";
 *
 * const pieces = [["a", -1], ["b", -1], ["ab", -1.5]] as const;
 * const unigram = new Unigram(pieces.map(([text, score], id) => ({ id, text, score })), {
 *   unknownId: 3,
 *   unknownScore: -11,
 * });
 * if (unigram.segment("abbx").map(({ id }) => id).join() !== "2,1,3") throw new Error("ab b ?");
 * ```
 */
export class Unigram {
  readonly #trie: Trie;
  readonly #pieces: readonly UnigramPiece[];
  readonly #options: UnigramOptions;

  constructor(pieces: readonly UnigramPiece[], options: UnigramOptions) {
    this.#pieces = pieces;
    this.#trie = new Trie(pieces.map(({ text }, index) => [text, index]));
    this.#options = options;
  }

  /** The best spelling of a text; of equal ones, that whose last piece begins first. */
  segment(text: string): Segment[] {
    const { unknownId, unknownScore, round = Number } = this.#options;
    const scores = new Float64Array(text.length + 1);
    const starts = new Int32Array(text.length + 1).fill(-1);
    const ids = new Int32Array(text.length + 1);
    for (let start = 0; start < text.length;) {
      const characterEnd = start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
      const before = scores[start]!;
      const offer = (end: number, id: number, score: number) => {
        // The sum is compared before it is rounded, as in SentencePiece's EncodeOptimized().
        const sum = score + before;
        if (starts[end]! >= 0 && sum <= scores[end]!) return;
        scores[end] = round(sum);
        starts[end] = start;
        ids[end] = id;
      };
      let isSpelled = false;
      this.#trie.match(text, start, (index, end) => {
        const { id, score } = this.#pieces[index]!;
        offer(end, id, score);
        isSpelled ||= end === characterEnd;
      });
      if (!isSpelled) offer(characterEnd, unknownId, unknownScore);
      start = characterEnd;
    }
    const segments: Segment[] = [];
    for (let end = text.length; end > 0; end = starts[end]!) {
      segments.push({ id: ids[end]!, start: starts[end]!, end });
    }
    return segments.reverse();
  }
}
