// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Drawing the next token: temperature, top-k (Fan et al. 2018) and top-p (Holtzman et al. 2020).
 *
 * @module
 */

import { threefry } from "../random.ts";

/** How to draw; see `Operations.sample`. */
export interface SampleSettings {
  /** 0 for the likeliest token. */
  readonly temperature: number;
  /** Likeliest tokens to draw from. */
  readonly topK: number;
  /** Share of the probability to draw from. */
  readonly topP: number;
}

/**
 * Draws a token for each row of `logits`.
 *
 * @param logits `[batch, V]`
 * @param keys `[batch, 2]`
 * @param counters `[batch]`
 * @param tokens `[batch]`
 * @param logProbabilities `[batch]`
 */
export function sample(
  logits: Float64Array,
  keys: Uint32Array,
  counters: Uint32Array,
  tokens: Uint32Array,
  logProbabilities: Float64Array,
  settings: SampleSettings,
): void {
  const V = logits.length / tokens.length;
  for (let b = 0; b < tokens.length; b++) {
    const row = logits.subarray(b * V, (b + 1) * V);
    const [word] = threefry([keys[2 * b]!, keys[2 * b + 1]!], [counters[b]!, 0]);
    const token = settings.temperature === 0
      ? Math.max(row.indexOf(largest(row)), 0)
      : draw(row, settings, (word >>> 8) / 2 ** 24);
    tokens[b] = token;
    logProbabilities[b] = Math.log(softmax(row, 1)[token]!);
  }
}

/** The first token at which the sum of kept probabilities exceeds `u` times their total. */
function draw(row: Float64Array, settings: SampleSettings, u: number): number {
  const least = leastKept(row, settings);
  const kept = softmax(row, settings.temperature).map((share, v) => row[v]! >= least ? share : 0);
  const target = u * sum(kept);
  let running = 0;
  const token = kept.findIndex((share) => (running += share) > target);
  return Math.max(token, 0);
}

/** The smallest logit that top-k and top-p leave. */
function leastKept(row: Float64Array, { temperature, topK, topP }: SampleSettings): number {
  const order = row.toSorted((left, right) => right - left).subarray(0, topK);
  const kthLargest = order.at(-1)!;
  if (topP === 1) return kthLargest;
  const shares = softmax(row, temperature);
  const shareOf = (least: number) => sum(shares.filter((_, v) => row[v]! >= least));
  const wanted = topP * shareOf(kthLargest);
  return order.find((least) => shareOf(least) >= wanted) ?? kthLargest;
}

function softmax(row: Float64Array, temperature: number): Float64Array {
  const maximum = largest(row);
  const terms = row.map((logit) => Math.exp((logit - maximum) / temperature));
  const total = sum(terms);
  return terms.map((term) => term / total);
}

function largest(row: Float64Array): number {
  return row.reduce((left, right) => Math.max(left, right));
}

function sum(values: Float64Array): number {
  return values.reduce((left, right) => left + right, 0);
}
