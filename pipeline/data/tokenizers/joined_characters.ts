/**
 * Cutting text where byte-pair encoding cannot join it.
 *
 * SentencePiece-style tokenizers (LLaMA 1 and 2) have no pre-tokenizer: a whole text is merged as one
 * word, with a queue as long as the text. But where two neighbouring characters stand side by side in
 * no token that any merge makes, no merge ever reaches across them, so that the pieces on both sides
 * can be merged on their own, with the same result, and the result of a piece can be kept for its
 * next occurrence.
 *
 * @module
 */

import { PairTable } from "./pair_table.ts";

/**
 * Splits text at every boundary that no merge of a byte-pair encoding reaches across.
 *
 * @example
 * ```ts
 * import { JoinedCharacters } from "./joined_characters.ts";
 *
 * const joined = new JoinedCharacters(["lo", "low"]);
 * if (joined.split("lowlo").join() !== "low,lo") throw new Error("no token holds w l");
 * ```
 */
export class JoinedCharacters {
  /** Code points that are neighbours within tokens. */
  readonly #pairs = new PairTable();

  /**
   * Notes which characters stand side by side.
   *
   * @param tokens All that merges can make.
   */
  constructor(tokens: Iterable<string>) {
    for (const token of tokens) {
      let before = -1;
      for (const character of token) {
        const point = pointAt(character, 0);
        if (before >= 0) this.#pairs.set(before, point, 1);
        before = point;
      }
    }
  }

  /** The pieces of a text, in order; together they are the text. */
  split(text: string): string[] {
    const pieces: string[] = [];
    let before = -1;
    let start = 0;
    for (let position = 0; position < text.length;) {
      const point = pointAt(text, position);
      if (before >= 0 && this.#pairs.get(before, point) < 0) {
        pieces.push(text.slice(start, position));
        start = position;
      }
      before = point;
      position += point > 0xffff ? 2 : 1;
    }
    if (start < text.length) pieces.push(text.slice(start));
    return pieces;
  }
}

function pointAt(text: string, position: number): number {
  return text.codePointAt(position) ?? 0;
}
