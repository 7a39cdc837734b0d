// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Root-mean-square normalization (Zhang & Sennrich 2019).
 *
 * @module
 */

/** Rows and features. */
export interface NormDimensions {
  /** Rows. */
  readonly M: number;
  /** Features that are normalized together. */
  readonly D: number;
}

/**
 * `y = x / sqrt(mean(x^2) + epsilon) * w`.
 *
 * @param input x `[M, D]`
 * @param weight w `[D]`
 * @param output y `[M, D]`
 */
export function rmsNorm(
  input: Float64Array,
  weight: Float64Array,
  output: Float64Array,
  { M, D }: NormDimensions,
  epsilon: number,
): void {
  for (let m = 0; m < M; m++) {
    const x = input.subarray(m * D, (m + 1) * D);
    const inverse = inverseRms(x, epsilon);
    for (let d = 0; d < D; d++) output[m * D + d] = x[d]! * inverse * weight[d]!;
  }
}

/**
 * Backward of {@linkcode rmsNorm}. With `r = 1 / sqrt(mean(x^2) + epsilon)` and `g = dy * w`:
 * `dx = r g - r^3 x mean(g x)`, `dw += sum_m dy x r`.
 *
 * @param input x `[M, D]`
 * @param weight w `[D]`
 * @param gradOutput dy `[M, D]`
 * @param gradInput dx `[M, D]`
 * @param gradWeight dw `[D]`, added to
 */
export function rmsNormBackward(
  input: Float64Array,
  weight: Float64Array,
  gradOutput: Float64Array,
  gradInput: Float64Array,
  gradWeight: Float64Array | null,
  { M, D }: NormDimensions,
  epsilon: number,
  accumulate: boolean,
): void {
  for (let m = 0; m < M; m++) {
    const x = input.slice(m * D, (m + 1) * D);
    const dy = gradOutput.slice(m * D, (m + 1) * D);
    const inverse = inverseRms(x, epsilon);
    let mean = 0;
    for (let d = 0; d < D; d++) mean += dy[d]! * weight[d]! * x[d]! / D;
    for (let d = 0; d < D; d++) {
      const gradient = inverse * dy[d]! * weight[d]! - inverse ** 3 * x[d]! * mean;
      gradInput[m * D + d] = accumulate ? gradInput[m * D + d]! + gradient : gradient;
      if (gradWeight) gradWeight[d]! += dy[d]! * x[d]! * inverse;
    }
  }
}

function inverseRms(x: Float64Array, epsilon: number): number {
  let sum = 0;
  for (const value of x) sum += value * value;
  return 1 / Math.sqrt(sum / x.length + epsilon);
}
