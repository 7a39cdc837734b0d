/**
 * The `logprobs` of an answer.
 *
 * @module
 */

import type { PlaceScore } from "./prompt_scores.ts";
import type { TokenTexts } from "./token_texts.ts";

/** One entry per token. */
export interface LogProbabilities {
  readonly tokens: readonly string[];
  /** Natural logarithms; null for the first token of a text, which nothing comes before. */
  readonly token_logprobs: readonly (number | null)[];
  /**
   * The likeliest tokens of a place and the one that stands there, by their texts; of tokens with
   * equal texts the likeliest one.
   */
  readonly top_logprobs: readonly (Readonly<Record<string, number>> | null)[];
  /** Where each token begins in the text of prompt and completion, in characters. */
  readonly text_offset: readonly number[];
}

/**
 * The `logprobs` of tokens from `first` on, with `count` alternatives each.
 *
 * @param tokens All tokens of prompt and completion.
 * @param places Scores of the tokens 1, 2, ...
 */
export function logProbabilities(
  texts: TokenTexts,
  tokens: readonly number[],
  places: readonly PlaceScore[],
  { first, count }: { readonly first: number; readonly count: number },
): LogProbabilities {
  const shown = tokens.map((token) => texts.of(token));
  const offsets: number[] = [];
  let offset = 0;
  let isOpening = true;
  for (const { text, opening, isSpecial } of shown) {
    offsets.push(offset);
    if (isSpecial) continue;
    offset += [...isOpening ? opening : text].length;
    isOpening = false;
  }
  const scores = tokens.map((_, index) => index === 0 ? null : places[index - 1] ?? null);
  return {
    tokens: shown.slice(first).map(({ text }) => text),
    token_logprobs: scores.slice(first).map((score) => score?.logProbability ?? null),
    top_logprobs: scores.slice(first).map((score, index) => {
      if (score === null) return null;
      const top = new Map([[shown[first + index]?.text ?? "", score.logProbability]]);
      for (const { token, logProbability } of score.alternatives.slice(0, count)) {
        const { text } = texts.of(token);
        top.set(text, Math.max(logProbability, top.get(text) ?? -Infinity));
      }
      return Object.fromEntries(top);
    }),
    text_offset: offsets.slice(first),
  };
}
