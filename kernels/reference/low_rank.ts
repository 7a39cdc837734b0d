// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The pooled low-rank adapter: LoRA (Hu et al. 2022) with pool = repeat = 1, QA-LoRA (Xu et al. 2024)
 * with pool = group size, balanced forms with both.
 *
 * @module
 */

import { threefry } from "../random.ts";
import type { LowRankDimensions } from "../shapes.ts";

/** What a dropout mask follows from. */
export interface Mask {
  /** Probability to drop, in [0, 1). */
  readonly rate: number;
  /** `[2]`, key of the counter-based generator. */
  readonly key: Uint32Array;
  /** Second word of the counter. */
  readonly stream: number;
}

/** The scalars of an adapter product. */
export interface LowRankFactors {
  /** Width of average pooling. */
  readonly pool: number;
  /** Width of repetition. */
  readonly repeat: number;
  /** Factor on the product. */
  readonly scale: number;
  /** Dropout of the pooled input. */
  readonly mask: Mask | null;
}

/**
 * Factor on element `index` of the pooled input `[M, P]`, counted row-major: 0 where it is dropped,
 * `1 / (1 - rate)` where it is kept. Kept is what draws at least `floor(rate * 2^32)`.
 */
export function dropoutFactor({ rate, key, stream }: Mask, index: number): number {
  const [draw] = threefry([key[0]!, key[1]!], [index, stream]);
  return draw >= Math.floor(rate * 2 ** 32) ? 1 / (1 - rate) : 0;
}

/**
 * `pooled[m, p] = dropout(mean of x[m, p * pool ... (p + 1) * pool - 1])`, `[M, P]`.
 *
 * @param input x `[M, K]`
 */
export function pooledInput(
  input: Float64Array,
  { M, K, P }: LowRankDimensions,
  { pool, mask }: LowRankFactors,
): Float64Array {
  const pooled = new Float64Array(M * P);
  for (let m = 0; m < M; m++) {
    for (let p = 0; p < P; p++) {
      let sum = 0;
      for (let i = 0; i < pool; i++) sum += input[m * K + p * pool + i]!;
      pooled[m * P + p] = sum / pool * (mask ? dropoutFactor(mask, m * P + p) : 1);
    }
  }
  return pooled;
}

/**
 * `h = pooled a^T`, `y[m, n] += scale * sum_r h[m, r] b[floor(n / repeat), r]`.
 *
 * @param input x `[M, K]`
 * @param a `[R, P]`, null for the identity
 * @param b `[Q, R]`
 * @param hidden h `[M, R]`, overwritten
 * @param output y `[M, N]`, added to
 */
export function lowRank(
  input: Float64Array,
  a: Float64Array | null,
  b: Float64Array,
  hidden: Float64Array,
  output: Float64Array,
  dimensions: LowRankDimensions,
  factors: LowRankFactors,
): void {
  const { M, N, R, P } = dimensions;
  const { repeat, scale } = factors;
  const pooled = pooledInput(input, dimensions, factors);
  for (let m = 0; m < M; m++) {
    for (let r = 0; r < R; r++) {
      let sum = 0;
      if (a) { for (let p = 0; p < P; p++) sum += pooled[m * P + p]! * a[r * P + p]!; }
      else sum = pooled[m * P + r]!;
      hidden[m * R + r] = sum;
    }
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let r = 0; r < R; r++) sum += hidden[m * R + r]! * b[Math.floor(n / repeat) * R + r]!;
      output[m * N + n]! += scale * sum;
    }
  }
}

/**
 * Backward of {@linkcode lowRank}, with `u[m, q] = scale * sum of dy[m, n] over n of output q`:
 * `db = u^T h`, `dh = u b`, `da = dh^T pooled`, `dx = unpool(dropout(dh a))`.
 *
 * @param input x `[M, K]`
 * @param a `[R, P]`, null for the identity
 * @param b `[Q, R]`
 * @param hidden h `[M, R]` of the forward pass
 * @param gradOutput dy `[M, N]`
 * @param gradA `[R, P]`, added to unless it is null
 * @param gradB `[Q, R]`, added to unless it is null
 * @param gradInput dx `[M, K]`, added to unless it is null
 */
export function lowRankBackward(
  input: Float64Array,
  a: Float64Array | null,
  b: Float64Array,
  hidden: Float64Array,
  gradOutput: Float64Array,
  gradA: Float64Array | null,
  gradB: Float64Array | null,
  gradInput: Float64Array | null,
  dimensions: LowRankDimensions,
  factors: LowRankFactors,
): void {
  const { M, K, N, R, P, Q } = dimensions;
  const { pool, repeat, scale, mask } = factors;
  const pooled = pooledInput(input, dimensions, factors);
  for (let m = 0; m < M; m++) {
    const u = new Float64Array(Q);
    for (let n = 0; n < N; n++) u[Math.floor(n / repeat)]! += scale * gradOutput[m * N + n]!;

    const gradHidden = new Float64Array(R);
    for (let q = 0; q < Q; q++) {
      for (let r = 0; r < R; r++) {
        if (gradB) gradB[q * R + r]! += u[q]! * hidden[m * R + r]!;
        gradHidden[r]! += u[q]! * b[q * R + r]!;
      }
    }

    const gradPooled = new Float64Array(P);
    for (let r = 0; r < R; r++) {
      if (!a) gradPooled[r] = gradHidden[r]!;
      else for (let p = 0; p < P; p++) gradPooled[p]! += gradHidden[r]! * a[r * P + p]!;
      if (gradA) {
        for (let p = 0; p < P; p++) gradA[r * P + p]! += gradHidden[r]! * pooled[m * P + p]!;
      }
    }

    if (!gradInput) continue;
    for (let p = 0; p < P; p++) {
      const share = gradPooled[p]! / pool * (mask ? dropoutFactor(mask, m * P + p) : 1);
      for (let i = 0; i < pool; i++) gradInput[m * K + p * pool + i]! += share;
    }
  }
}
