/**
 * The texts of single tokens.
 *
 * @module
 */

import type { Tokenizer } from "../data/tokenizer.ts";

/** Begins what tokens are decoded after: decoders treat the first token of a text specially. */
const ANCHOR = "a";

/** A token as an answer shows it. */
export interface TokenText {
  /** What it adds to a text; special tokens have their name. */
  readonly text: string;
  /** What it adds where nothing is before it: decoders of SentencePiece take a space away. */
  readonly opening: string;
  /** Whether texts are shown without it. */
  readonly isSpecial: boolean;
}

/**
 * Texts of tokens by their ids. A token that is a part of a character has the text U+FFFD.
 *
 * @example
 * ```ts
 * import { trainByteLevelBpe } from "../data/byte_level_bpe.ts";
 * import { Tokenizer } from "../data/tokenizer.ts";
 * import { TokenTexts } from "./token_texts.ts";
 *
 * const { tokenizer, config } = trainByteLevelBpe(["a cat, a cat"], { vocabSize: 262 });
 * const trained = new Tokenizer(tokenizer, config);
 * const texts = new TokenTexts(trained);
 * const shown = [...trained.encodeWithoutSpecialTokens(" cat")].map((id) => texts.of(id).text);
 * if (shown.join("") !== " cat") throw new Error("its space belongs to it");
 * ```
 */
export class TokenTexts {
  readonly #tokenizer: Tokenizer;
  readonly #anchor: readonly number[];
  readonly #anchorText: string;
  readonly #texts = new Map<number, TokenText>();

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
    this.#anchor = [...tokenizer.encodeWithoutSpecialTokens(ANCHOR)];
    this.#anchorText = tokenizer.decode(this.#anchor);
  }

  /** The text of one token. */
  of(id: number): TokenText {
    let found = this.#texts.get(id);
    if (found === undefined) {
      const skipped = this.#tokenizer.decode([...this.#anchor, id], { skipSpecialTokens: true });
      const text = this.#textOf(id);
      const opening = this.#tokenizer.decode([id]);
      found = { text, opening, isSpecial: text !== "" && skipped === this.#anchorText };
      this.#texts.set(id, found);
    }
    return found;
  }

  #textOf(id: number): string {
    const text = this.#tokenizer.decode([...this.#anchor, id]);
    return text.startsWith(this.#anchorText)
      ? text.slice(this.#anchorText.length)
      : this.#tokenizer.decode([id]);
  }
}
