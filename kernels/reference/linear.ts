// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Matrix products.
 *
 * @module
 */

import type { LinearDimensions } from "../shapes.ts";

/**
 * `y[m, n] (+)= sum_k x[m, k] w[n, k] (+ bias[n])`.
 *
 * @param input x `[M, K]`
 * @param weight w `[N, K]`
 * @param bias `[N]`
 * @param output y `[M, N]`
 */
export function linear(
  input: Float64Array,
  weight: Float64Array,
  bias: Float64Array | null,
  output: Float64Array,
  { M, K, N }: LinearDimensions,
  accumulate: boolean,
): void {
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = bias ? bias[n]! : 0;
      for (let k = 0; k < K; k++) sum += input[m * K + k]! * weight[n * K + k]!;
      store(output, m * N + n, sum, accumulate);
    }
  }
}

/**
 * Backward of {@linkcode linear}: `dx[m, k] (+)= sum_n dy[m, n] w[n, k]`.
 *
 * @param gradOutput dy `[M, N]`
 * @param weight w `[N, K]`
 * @param gradInput dx `[M, K]`
 */
export function linearTransposed(
  gradOutput: Float64Array,
  weight: Float64Array,
  gradInput: Float64Array,
  { M, K, N }: LinearDimensions,
  accumulate: boolean,
): void {
  for (let m = 0; m < M; m++) {
    for (let k = 0; k < K; k++) {
      let sum = 0;
      for (let n = 0; n < N; n++) sum += gradOutput[m * N + n]! * weight[n * K + k]!;
      store(gradInput, m * K + k, sum, accumulate);
    }
  }
}

/**
 * `output[m, n] (+)= scale * sum_k left(m, k) right(k, n)`.
 *
 * @param left `[M, K]`, or `[K, M]` for tn
 * @param right `[K, N]`, or `[N, K]` for nt
 * @param output `[M, N]`
 */
export function matmul(
  left: Float64Array,
  right: Float64Array,
  output: Float64Array,
  { M, K, N }: LinearDimensions,
  orientation: "nn" | "nt" | "tn",
  scale: number,
  accumulate: boolean,
): void {
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) {
        const l = orientation === "tn" ? left[k * M + m]! : left[m * K + k]!;
        const r = orientation === "nt" ? right[n * K + k]! : right[k * N + n]!;
        sum += l * r;
      }
      store(output, m * N + n, scale * sum, accumulate);
    }
  }
}

/**
 * `output[n] += sum_m input[m, n]`.
 *
 * @param input `[M, N]`
 * @param output `[N]`
 */
export function columnSum(
  input: Float64Array,
  output: Float64Array,
  { M, N }: { readonly M: number; readonly N: number },
): void {
  for (let n = 0; n < N; n++) {
    for (let m = 0; m < M; m++) output[n]! += input[m * N + n]!;
  }
}

function store(output: Float64Array, index: number, value: number, accumulate: boolean): void {
  output[index] = accumulate ? output[index]! + value : value;
}
