// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The proximal operator of the largest magnitude, `alpha max_j |v_j|`. By Moreau's decomposition it is
 * what is left of a vector after its projection on the l1 ball of radius alpha, and that is the vector
 * clipped at the level above which its magnitudes sum to alpha: water filling from above.
 *
 * @module
 */

/**
 * The level `c >= 0` with `sum_j max(|v_j| - c, 0) = alpha`; 0 if all magnitudes sum to less.
 *
 * The sum falls with c, is convex and linear between magnitudes, so Newton's method from below the
 * root never overshoots and ends on the piece with the root. It starts at `max |v_j| - alpha`, where
 * the largest magnitude alone makes up alpha.
 */
export function clipLevel(values: Float64Array, alpha: number): number {
  let largest = 0;
  for (let index = 0; index < values.length; index++) {
    largest = Math.max(largest, Math.abs(values[index]!));
  }
  let level = Math.max(0, largest - alpha);
  while (level < largest) {
    let sum = 0;
    let count = 0;
    for (let index = 0; index < values.length; index++) {
      const size = Math.abs(values[index]!);
      if (size > level) {
        sum += size;
        count++;
      }
    }
    const next = (sum - alpha) / count;
    if (next <= level) break;
    level = next;
  }
  return level;
}
