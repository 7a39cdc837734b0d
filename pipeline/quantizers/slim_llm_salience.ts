// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Which single weights of a group count as salient when SliM-LLM searches its scales.
 *
 * @module
 */

import type { Block, Matrix } from "../linalg/matrix.ts";

/**
 * - `salience`: those whose `w^2 / U_jj^2` is more than 2 standard deviations above the mean of the
 *   group (the released code).
 * - `weights`: those that are more than 3 standard deviations from the mean themselves (the paper).
 */
export type SalientRule = "salience" | "weights";

/**
 * The salient weights of a group, `[rows * columns]`: 1 where one is.
 *
 * @param upper `U` with `H^-1 = U^T U` of the whole layer, in which the group begins at `start`.
 */
export function salientWeights(
  group: Block,
  upper: Matrix,
  start: number,
  rule: SalientRule,
): Uint8Array {
  const { rows, columns, values, offset, stride } = group;
  const measured = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const weight = values[offset + row * stride + column]!;
      measured[row * columns + column] = rule === "weights"
        ? weight
        : (weight / upper.values[(start + column) * (upper.columns + 1)]!) ** 2;
    }
  }
  const count = measured.length;
  const mean = measured.reduce((sum, value) => sum + value, 0) / count;
  const variance = measured.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  const deviations = rule === "weights" ? 3 : 2;
  const limit = deviations * Math.sqrt(variance);
  return Uint8Array.from(measured, (value) => {
    const distance = rule === "weights" ? Math.abs(value - mean) : value - mean;
    return distance > limit ? 1 : 0;
  });
}
