/**
 * Where a continuation ends, in tokens as well as in text.
 *
 * @module
 */

import type { Tokenizer } from "../data/tokenizer.ts";
import { Continuation } from "../evaluation/text_generation.ts";

/** What is new of a continuation. */
export interface NewText {
  readonly text: string;
  /** With the token that ends the text, and none behind it. */
  readonly tokens: readonly number[];
  readonly end: "stop" | "length" | null;
}

/**
 * A continuation that ends with a stop text, of which nothing is shown, or with an end token. Tokens
 * come in pieces, which may go beyond the end.
 */
export class ContinuedText {
  readonly #continuation: Continuation;
  readonly #endTokens: ReadonlySet<number>;
  readonly #tokens: number[] = [];

  constructor(
    tokenizer: Tokenizer,
    prompt: Uint32Array,
    stopTexts: readonly string[],
    endTokens: ReadonlySet<number>,
  ) {
    this.#continuation = new Continuation(tokenizer, prompt, stopTexts);
    this.#endTokens = endTokens;
  }

  /** Whether all tokens so far reach the end. */
  isComplete(tokens: readonly number[]): boolean {
    return tokens.some((token) => this.#endTokens.has(token)) ||
      this.#continuation.isStopped(tokens);
  }

  /** Takes further tokens; `isLast` says that no others follow. */
  append(tokens: readonly number[], isLast: boolean): NewText {
    const kept: number[] = [];
    let isStopped = false;
    for (const token of tokens) {
      kept.push(token);
      this.#tokens.push(token);
      isStopped = this.#endTokens.has(token) || this.#continuation.isStopped(this.#tokens);
      if (isStopped) break;
    }
    const shown = kept.filter((token) => !this.#endTokens.has(token));
    return {
      text: this.#continuation.append(shown, isStopped || isLast),
      tokens: kept,
      end: isStopped ? "stop" : isLast ? "length" : null,
    };
  }
}
