// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Standard errors as lm-evaluation-harness defines them (`lm_eval/api/metrics.py`).
 *
 * @module
 */

import { PythonRandom } from "../random/python_random.ts";

/** Draws of one seeded generator: the harness counts its seeds in chunks of this many. */
const BOOTSTRAP_CHUNK = 1000;

/** Arithmetic mean. */
export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Standard deviation of a sample, with n - 1; NaN for less than two values. */
export function sampleDeviation(values: readonly number[]): number {
  if (values.length < 2) return NaN;
  const center = mean(values);
  const squares = values.reduce((sum, value) => sum + (value - center) ** 2, 0);
  return Math.sqrt(squares / (values.length - 1));
}

/**
 * Standard error of a mean, `s / sqrt(n)`; null for less than two values.
 *
 * @example 70 of 100 answers are right
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const answers = Array.from({ length: 100 }, (_, index) => index < 70 ? 1 : 0);
 * assert.equal(meanStandardError(answers)?.toFixed(5), Math.sqrt(0.7 * 0.3 / 99).toFixed(5));
 * ```
 */
export function meanStandardError(values: readonly number[]): number | null {
  return values.length < 2 ? null : sampleDeviation(values) / Math.sqrt(values.length);
}

/** A mean over `size` items, and its standard error. */
export interface Part {
  readonly standardError: number;
  readonly size: number;
}

/**
 * Standard error of a mean over all items of several tasks, from the errors of the tasks:
 *
 *     sqrt((sum (n - 1) n se^2) / (sum n - K) / sum n).
 *
 * It is that of one task as large as all of them whose items vary as they do within the tasks; what
 * the tasks differ by is not in it. Null where there are not more items than tasks.
 */
export function pooledStandardError(parts: readonly Part[]): number | null {
  const size = parts.reduce((sum, part) => sum + part.size, 0);
  if (size <= parts.length) return null;
  const squares = parts.reduce(
    (sum, part) => sum + (part.size - 1) * part.size * part.standardError ** 2,
    0,
  );
  return Math.sqrt(squares / (size - parts.length) / size);
}

/** Standard error of the unweighted mean of independent means: `sqrt(sum se^2) / K`. */
export function macroStandardError(standardErrors: readonly number[]): number {
  return Math.sqrt(standardErrors.reduce((sum, error) => sum + error ** 2, 0)) /
    standardErrors.length;
}

/**
 * Standard deviation of a statistic over resamples of its items, drawn as the harness draws them:
 * chunks of 1000, each with a generator seeded by its number. Null for less than two items or no
 * iterations.
 *
 * @param iterations 100,000 in the harness.
 */
export function bootstrapStandardError<Item>(
  statistic: (items: readonly Item[]) => number,
  items: readonly Item[],
  iterations: number,
): number | null {
  if (items.length < 2 || iterations < 1) return null;
  const chunk = Math.min(BOOTSTRAP_CHUNK, iterations);
  const results: number[] = [];
  for (let seed = 0; seed < Math.floor(iterations / chunk); seed++) {
    const random = new PythonRandom(seed);
    for (let i = 0; i < chunk; i++) results.push(statistic(random.choices(items, items.length)));
  }
  return sampleDeviation(results);
}

/** The item in the middle, the higher of two, as the harness counts. */
export function median(values: readonly number[]): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.floor(sorted.length / 2)]!;
}
