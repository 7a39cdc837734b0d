// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Squared error of activations.
 *
 * @module
 */

/**
 * `losses[m] = sum_n (prediction[m, n] - target[m, n])^2`,
 * `gradient (+)= 2 scale (prediction - target)`.
 *
 * @param prediction `[M, N]`
 * @param target `[M, N]`
 * @param losses `[M]`, overwritten
 * @param gradient `[M, N]`
 */
export function squaredError(
  prediction: Float64Array,
  target: Float64Array,
  losses: Float64Array,
  gradient: Float64Array | null,
  { N }: { readonly N: number },
  scale: number,
  accumulate: boolean,
): void {
  losses.fill(0);
  for (let i = 0; i < prediction.length; i++) {
    const difference = prediction[i]! - target[i]!;
    losses[Math.floor(i / N)]! += difference * difference;
    if (gradient) gradient[i] = 2 * scale * difference + (accumulate ? gradient[i]! : 0);
  }
}
