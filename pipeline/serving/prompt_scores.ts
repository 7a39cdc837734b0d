// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Log-probabilities of every token of a prompt and of its likeliest alternatives.
 *
 * @module
 */

import {
  type LikelyToken,
  type TokenRequest,
  TokenScorer,
  type TokenScores,
} from "../evaluation/requests/score_tokens.ts";
import type { LanguageModel } from "../models/language_model.ts";

/** What a model says at one place of a text. */
export interface PlaceScore {
  /** Natural logarithm of the probability of the token that stands there; NaN behind the end. */
  readonly logProbability: number;
  /** The likeliest tokens, the first of equals first; at least one. */
  readonly alternatives: readonly LikelyToken[];
}

/** Positions of the smallest cache. */
const LEAST_CAPACITY = 256;

/** Scores prompts; keeps a cache for the longest so far. */
export class PromptScorer {
  readonly #model: LanguageModel;
  readonly #batchSize: number;
  #scorer: TokenScorer | null = null;

  /** @param batchSize Prompts that are in the cache at the same time. */
  constructor(model: LanguageModel, batchSize: number) {
    this.#model = model;
    this.#batchSize = batchSize;
  }

  /**
   * Scores of the places 1, 2, ... of each prompt, the last of which is behind its end. They depend on
   * the prompt alone.
   *
   * @param alternatives How many of the likeliest tokens to name at every place.
   * @throws {UserError} If the model computes NaN or infinities.
   */
  async score(
    prompts: readonly Uint32Array[],
    alternatives: number,
  ): Promise<readonly (readonly PlaceScore[])[]> {
    const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
    const results: (readonly PlaceScore[])[] = prompts.map(() => []);
    const requests = prompts.map((prompt): TokenRequest => ({
      context: prompt.subarray(0, 1),
      continuation: withNext(prompt).subarray(1),
      ...(alternatives > 1 ? { top: alternatives } : {}),
    }));
    for await (const { index, value } of this.#scorerFor(longest).score(requests)) {
      results[index] = placesOf(requests[index]!.continuation, value);
    }
    return results;
  }

  /** Frees everything but the model. */
  release(): void {
    this.#scorer?.release();
    this.#scorer = null;
  }

  #scorerFor(length: number): TokenScorer {
    if (this.#scorer === null || this.#scorer.capacity < length) {
      this.release();
      const rounded = Math.max(LEAST_CAPACITY, 2 ** Math.ceil(Math.log2(length)));
      const capacity = Math.min(rounded, this.#model.config.maxPositions);
      this.#scorer = new TokenScorer(this.#model, { batchSize: this.#batchSize, capacity });
    }
    return this.#scorer;
  }
}

/** With a token behind the end; which is no matter, the place names its likeliest. */
function withNext(prompt: Uint32Array): Uint32Array {
  const tokens = new Uint32Array(prompt.length + 1);
  tokens.set(prompt);
  return tokens;
}

function placesOf(continuation: Uint32Array, scores: TokenScores): PlaceScore[] {
  return Array.from(continuation, (token, index) => {
    const best = {
      token: scores.likeliest[index]!,
      logProbability: scores.likeliestLogProbabilities[index]!,
    };
    const alternatives = scores.top[index] ?? [best];
    // Two kernels find the numbers of one token, and readers compare them.
    const same = alternatives.find((alternative) => alternative.token === token);
    const own = same?.logProbability ?? scores.logProbabilities[index]!;
    const isBehind = index === continuation.length - 1;
    return { logProbability: isBehind ? NaN : own, alternatives };
  });
}
