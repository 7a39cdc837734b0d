/**
 * Cutting text where byte-pair encoding cannot join it.
 *
 * SentencePiece-style tokenizers (LLaMA 1 and 2) have no pre-tokenizer: a whole text is merged as one
 * word, with a queue as long as the text. But where two neighbouring characters stand side by side in
 * no token that any merge makes, no merge ever reaches across them, so that the pieces on both sides
 * can be merged on their own, with the same result.
 *
 * @module
 */

/**
 * Splits text at every boundary that no merge of a byte-pair encoding reaches across.
 *
 * @example
 * ```ts
 * import { BpePieces } from "./bpe_pieces.ts";
 *
 * const pieces = new BpePieces(["l o", "lo w"]);
 * if (pieces.split("lowlo").join() !== "low,lo") throw new Error("no token holds w l");
 * ```
 */
export class BpePieces {
  /** Neighbouring characters within tokens. */
  readonly #joined = new Set<string>();

  /**
   * Notes which characters merges join.
   *
   * @param merges Pairs of tokens, as `[left, right]` or `"left right"`.
   */
  constructor(merges: Iterable<unknown>) {
    for (const merge of merges) {
      const token = Array.isArray(merge) ? merge.join("") : String(merge).replace(" ", "");
      let before = "";
      for (const character of token) {
        if (before !== "") this.#joined.add(before + character);
        before = character;
      }
    }
  }

  /** The pieces of a text, in order; together they are the text. */
  split(text: string): string[] {
    const pieces: string[] = [];
    let before = "";
    let start = 0;
    let position = 0;
    for (const character of text) {
      if (before !== "" && !this.#joined.has(before + character)) {
        pieces.push(text.slice(start, position));
        start = position;
      }
      before = character;
      position += character.length;
    }
    if (start < text.length) pieces.push(text.slice(start));
    return pieces;
  }
}
