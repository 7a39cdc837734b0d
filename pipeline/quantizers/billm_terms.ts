// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Binary terms: numbers as a mean plus or minus scales, `x ~ mean + sum_t scale_t * sign_t` (Huang et
 * al. 2024, sections 3.1 and 3.2).
 *
 * @module
 */

/** What {@linkcode fitTerms} finds. */
export interface BinaryTerms {
  /** The means of all terms together; 0 without means. */
  readonly mean: number;
  /** Of each term; not negative. */
  readonly scales: readonly number[];
}

/**
 * Fits `terms` terms to the first `count` values, one after another, each to what the ones before it
 * leave: the mean (or 0), the mean distance from it, and the sign of each value, with +1 for 0. No
 * term increases the squared error.
 *
 * @param values Overwritten with what is left of them.
 * @param signs Receives the signs of value `i` as bits, the first term's lowest; absent if unwanted.
 */
export function fitTerms(
  values: Float64Array,
  count: number,
  terms: 1 | 2,
  withMeans: boolean,
  signs?: Uint8Array,
): BinaryTerms {
  let total = 0;
  const scales: number[] = [];
  signs?.fill(0, 0, count);
  for (let term = 0; term < terms; term++) {
    let mean = 0;
    if (withMeans && count > 0) {
      for (let index = 0; index < count; index++) mean += values[index]!;
      mean /= count;
    }
    let scale = 0;
    for (let index = 0; index < count; index++) scale += Math.abs(values[index]! - mean);
    if (count > 0) scale /= count;
    for (let index = 0; index < count; index++) {
      const centered = values[index]! - mean;
      values[index] = centered >= 0 ? centered - scale : centered + scale;
      if (signs !== undefined && centered >= 0) signs[index]! |= 1 << term;
    }
    total += mean;
    scales.push(scale);
  }
  return { mean: total, scales };
}

/** The squared error that {@linkcode fitTerms} leaves; overwrites the values likewise. */
export function termsError(
  values: Float64Array,
  count: number,
  terms: 1 | 2,
  withMeans: boolean,
): number {
  fitTerms(values, count, terms, withMeans);
  let sum = 0;
  for (let index = 0; index < count; index++) sum += values[index]! ** 2;
  return sum;
}
