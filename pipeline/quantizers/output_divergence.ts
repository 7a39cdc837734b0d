// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * How different the outputs of a layer are before and after quantization.
 *
 * @module
 */

import type { Matrix } from "../linalg/matrix.ts";

/**
 * - `kl`: the divergence `KL(true || quantized)` of the distributions that a softmax over the outputs
 *   of a token gives, averaged over tokens (SliM-LLM's paper).
 * - `reverse-kl`: `KL(quantized || true)` (its released code).
 * - `mse`: the mean squared difference.
 */
export type Objective = "kl" | "reverse-kl" | "mse";

/**
 * A function that compares outputs `[tokens, features]` with the given ones.
 *
 * @example
 * ```ts
 * import { matrix } from "../linalg/matrix.ts";
 * import { divergence } from "./output_divergence.ts";
 *
 * const outputs = matrix(1, 2, Float64Array.of(0, Math.log(3)));
 * const uniform = matrix(1, 2);
 * // 1/4 log(1/2) + 3/4 log(3/2)
 * if (Math.abs(divergence(outputs, "kl")(uniform) - 0.1308) > 1e-4) throw new Error("KL");
 * if (divergence(outputs, "kl")(outputs) !== 0) throw new Error("equal outputs");
 * ```
 */
export function divergence(truth: Matrix, objective: Objective): (outputs: Matrix) => number {
  if (objective === "mse") {
    return ({ values }) =>
      values.reduce((sum, value, index) => sum + (value - truth.values[index]!) ** 2, 0) /
      values.length;
  }
  const { rows, columns } = truth;
  const expected = logSoftmax(truth);
  const actual = new Float64Array(columns);
  return ({ values }) => {
    let sum = 0;
    for (let token = 0; token < rows; token++) {
      const start = token * columns;
      logSoftmaxRow(values.subarray(start, start + columns), actual);
      for (let feature = 0; feature < columns; feature++) {
        const difference = expected[start + feature]! - actual[feature]!;
        sum += objective === "kl"
          ? Math.exp(expected[start + feature]!) * difference
          : -Math.exp(actual[feature]!) * difference;
      }
    }
    return sum / rows;
  };
}

function logSoftmax({ rows, columns, values }: Matrix): Float64Array {
  const result = new Float64Array(values.length);
  for (let row = 0; row < rows; row++) {
    const [start, end] = [row * columns, (row + 1) * columns];
    logSoftmaxRow(values.subarray(start, end), result.subarray(start, end));
  }
  return result;
}

function logSoftmaxRow(values: Float64Array, output: Float64Array): void {
  let largest = -Infinity;
  for (let index = 0; index < values.length; index++) largest = Math.max(largest, values[index]!);
  let sum = 0;
  for (let index = 0; index < values.length; index++) sum += Math.exp(values[index]! - largest);
  const shift = largest + Math.log(sum);
  for (let index = 0; index < values.length; index++) output[index] = values[index]! - shift;
}
