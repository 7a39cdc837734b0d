// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Log-probabilities of every token of a prompt and of its likeliest alternatives.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { BatchModel } from "../models/batch_model.ts";
import type { LanguageModel } from "../models/language_model.ts";

/** A token that could have stood at a place. */
export interface Alternative {
  readonly token: number;
  /** Natural logarithm. */
  readonly logProbability: number;
}

/** What a model says at one place of a text. */
export interface PlaceScore {
  /** Natural logarithm of the probability of the token that stands there; NaN behind the end. */
  readonly logProbability: number;
  /** The likeliest tokens, the first of equals first. */
  readonly alternatives: readonly Alternative[];
}

/** Tokens of one forward pass, at most, where there are several prompts. */
const BATCH_TOKENS = 2048;

/** Logits that are on the host at once, at most: 32 MB. */
const LOGITS = 1 << 23;

/** Lengths are rounded up to a multiple, so that few shapes are recorded. */
const LENGTH_STEP = 32;

/** Scores prompts; keeps what the last shape of a batch needed. */
export class PromptScorer {
  readonly #model: LanguageModel;
  #batch: BatchModel | null = null;

  constructor(model: LanguageModel) {
    this.#model = model;
  }

  /**
   * Scores of the places 1, 2, ... of each prompt, the last of which is behind its end.
   *
   * @param alternatives How many of the likeliest tokens to name at every place.
   * @throws {UserError} If the model computes NaN.
   */
  async score(
    prompts: readonly Uint32Array[],
    alternatives: number,
  ): Promise<readonly (readonly PlaceScore[])[]> {
    const results: (readonly PlaceScore[])[] = prompts.map(() => []);
    for (const indices of batchesOf(prompts)) {
      const length = this.#paddedLength(prompts[indices[0]!]!.length);
      const batch = this.#batchModel(indices.length, length);
      const tokens = new Uint32Array(indices.length * length);
      indices.forEach((index, row) => tokens.set(prompts[index]!, row * length));
      batch.device.write(batch.tokens, tokens);
      batch.device.run(batch.forward);
      const scores = await this.#placesOf(batch, tokens, alternatives);
      indices.forEach((index, row) => {
        const places = scores.slice(row * length, row * length + prompts[index]!.length);
        const last = places.length - 1;
        places[last] = { ...places[last]!, logProbability: NaN };
        results[index] = places;
      });
    }
    return results;
  }

  /** Frees everything but the model. */
  release(): void {
    this.#batch?.release();
    this.#batch = null;
  }

  async #placesOf(
    batch: BatchModel,
    tokens: Uint32Array,
    alternatives: number,
  ): Promise<PlaceScore[]> {
    const { vocabSize } = this.#model.config;
    const rows = Math.min(tokens.length, Math.max(1, Math.floor(LOGITS / vocabSize)));
    const places: PlaceScore[] = [];
    for await (const logits of batch.logits(rows)) {
      for (let start = 0; start < logits.length; start += vocabSize) {
        const row = logits.subarray(start, start + vocabSize);
        const next = tokens[places.length + 1] ?? 0; // of another row behind an end, and unused
        places.push(placeScore(row, next, alternatives));
      }
    }
    return places;
  }

  #paddedLength(length: number): number {
    const rounded = Math.ceil(length / LENGTH_STEP) * LENGTH_STEP;
    return Math.min(rounded, this.#model.config.maxPositions);
  }

  #batchModel(batchSize: number, length: number): BatchModel {
    if (this.#batch?.batchSize !== batchSize || this.#batch.length !== length) {
      this.release();
      this.#batch = new BatchModel(this.#model, { batchSize, length });
    }
    return this.#batch;
  }
}

/** Numbers of prompts that are computed together, the longest first. */
function batchesOf(prompts: readonly Uint32Array[]): number[][] {
  const order = prompts.map((_, index) => index)
    .sort((a, b) => prompts[b]!.length - prompts[a]!.length || a - b);
  const batches: number[][] = [];
  for (const index of order) {
    const batch = batches.at(-1);
    const longest = batch === undefined ? 0 : prompts[batch[0]!]!.length;
    if (batch === undefined || (batch.length + 1) * longest > BATCH_TOKENS) batches.push([index]);
    else batch.push(index);
  }
  return batches;
}

function placeScore(
  logits: Float32Array | Float64Array,
  token: number,
  alternatives: number,
): PlaceScore {
  let largest = -Infinity;
  for (const logit of logits) if (logit > largest) largest = logit;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - largest);
  const logSumExp = largest + Math.log(sum);
  if (Number.isNaN(logSumExp)) {
    throw new UserError("The model computes NaN; its weights or activations overflow");
  }
  return {
    logProbability: logits[token]! - logSumExp,
    alternatives: likeliest(logits, alternatives)
      .map((id) => ({ token: id, logProbability: logits[id]! - logSumExp })),
  };
}

/** Ids of the `count` largest logits, the first of equals first. */
function likeliest(logits: Float32Array | Float64Array, count: number): number[] {
  const ids: number[] = [];
  for (let id = 0; id < logits.length && count > 0; id++) {
    if (ids.length === count && logits[id]! <= logits[ids.at(-1)!]!) continue;
    if (ids.length === count) ids.pop();
    const place = ids.findIndex((other) => logits[other]! < logits[id]!);
    ids.splice(place < 0 ? ids.length : place, 0, id);
  }
  return ids;
}
