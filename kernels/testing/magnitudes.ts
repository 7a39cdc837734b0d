// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The sizes of the terms that attention, normalization and cross-entropy add up, for error bounds of
 * operations that are not linear in their inputs.
 *
 * An error e in the argument of an exponential becomes a relative error e of the result. Scores and
 * logits are sums with terms of total size s, so their error is a multiple of `u s`, and whatever
 * is weighted by their softmax gets a factor `1 + s`.
 *
 * @module
 */

import type { AttentionSizes } from "../reference/attention.ts";

/** Terms of {@linkcode Operations.attention}. */
export interface AttentionMagnitudes {
  /** `[T, heads * headDim]`. */
  readonly output: Float64Array;
  /** `[T, heads]`. */
  readonly logSumExp: Float64Array;
}

/** Terms of {@linkcode Operations.attentionBackward}. */
export interface AttentionGradientMagnitudes {
  /** `[T, heads * headDim]`. */
  readonly gradQueries: Float64Array;
  /** `[T, kvHeads * headDim]`. */
  readonly gradKeys: Float64Array;
  /** `[T, kvHeads * headDim]`. */
  readonly gradValues: Float64Array;
}

/** `output: (1 + s) sum_j p[j] |v[j]|`, `logSumExp: 1 + s + |logSumExp|`, `s = max_j scale |q| . |k[j]|`. */
export function attentionMagnitudes(
  queries: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  sizes: AttentionSizes,
): AttentionMagnitudes {
  const { headDim, scale } = sizes;
  const output = new Float64Array(queries.length);
  const logSumExp = new Float64Array(queries.length / headDim);
  forEachQuery(sizes, (query, statistic, visible) => {
    const scores = visible.map((key) => scale * dot(queries, query, keys, key, headDim));
    const total = scores.reduce((sum, score) => sum + Math.exp(score), 0);
    const size = Math.max(
      ...visible.map((key) => scale * absoluteDot(queries, query, keys, key, headDim)),
    );
    logSumExp[statistic] = 1 + size + Math.abs(Math.log(total));
    visible.forEach((key, j) => {
      const probability = Math.exp(scores[j]!) / total;
      for (let d = 0; d < headDim; d++) {
        output[query + d]! += (1 + size) * probability * Math.abs(values[key + d]!);
      }
    });
  });
  return { output, logSumExp };
}

/** The backward with all differences replaced by sums, each probability times `1 + s + |logSumExp|`. */
export function attentionGradientMagnitudes(
  queries: ArrayLike<number>,
  keys: ArrayLike<number>,
  values: ArrayLike<number>,
  output: ArrayLike<number>,
  logSumExp: ArrayLike<number>,
  gradOutput: ArrayLike<number>,
  sizes: AttentionSizes,
): AttentionGradientMagnitudes {
  const { headDim, scale } = sizes;
  const gradQueries = new Float64Array(queries.length);
  const gradKeys = new Float64Array(keys.length);
  const gradValues = new Float64Array(keys.length);
  forEachQuery(sizes, (query, statistic, visible) => {
    const delta = absoluteDot(gradOutput, query, output, query, headDim);
    for (const key of visible) {
      const score = scale * dot(queries, query, keys, key, headDim);
      const size = 1 + Math.abs(logSumExp[statistic]!) +
        scale * absoluteDot(queries, query, keys, key, headDim);
      const probability = size * Math.exp(score - logSumExp[statistic]!);
      const gradScore = probability *
        (delta + absoluteDot(gradOutput, query, values, key, headDim));
      for (let d = 0; d < headDim; d++) {
        gradValues[key + d]! += probability * Math.abs(gradOutput[query + d]!);
        gradQueries[query + d]! += scale * gradScore * Math.abs(keys[key + d]!);
        gradKeys[key + d]! += scale * gradScore * Math.abs(queries[query + d]!);
      }
    }
  });
  return { gradQueries, gradKeys, gradValues };
}

/** Terms of {@linkcode Operations.rmsNormBackward}. */
export interface NormGradientMagnitudes {
  /** `[M, D]`. */
  readonly gradInput: Float64Array;
  /** `[D]`. */
  readonly gradWeight: Float64Array;
}

/** `gradInput: r |g| + r^3 |x| mean |g x|`, `gradWeight: sum_m |dy x| r`, each plus what was there. */
export function rmsNormGradientMagnitudes(
  input: ArrayLike<number>,
  weight: ArrayLike<number>,
  gradOutput: ArrayLike<number>,
  initialGradInput: ArrayLike<number> | undefined,
  initialGradWeight: ArrayLike<number>,
  epsilon: number,
): NormGradientMagnitudes {
  const D = weight.length;
  const gradInput = Float64Array.from(
    { length: input.length },
    (_, i) => Math.abs(initialGradInput?.[i] ?? 0),
  );
  const gradWeight = Float64Array.from(initialGradWeight, Math.abs);
  for (let start = 0; start < input.length; start += D) {
    let square = 0;
    let mean = 0;
    for (let d = 0; d < D; d++) {
      square += input[start + d]! ** 2 / D;
      mean += Math.abs(gradOutput[start + d]! * weight[d]! * input[start + d]!) / D;
    }
    const inverse = 1 / Math.sqrt(square + epsilon);
    for (let d = 0; d < D; d++) {
      const x = Math.abs(input[start + d]!);
      const dy = Math.abs(gradOutput[start + d]!);
      gradInput[start + d]! += inverse * dy * Math.abs(weight[d]!) + inverse ** 3 * x * mean;
      gradWeight[d]! += dy * x * inverse;
    }
  }
  return { gradInput, gradWeight };
}

/** Terms of {@linkcode Operations.crossEntropy}. */
export interface CrossEntropyMagnitudes {
  /** `[T]`. */
  readonly losses: Float64Array;
  /** `[T, D]`. */
  readonly gradHidden: Float64Array;
  /** `[V, D]`. */
  readonly gradHead: Float64Array;
}

/**
 * With `s = max_v |h| . |head[v]|`: `losses: 1 + 2 s + |logSumExp|`, and gradients with
 * `|dz[v]|` replaced by `|weight| ((1 + s) p[v] + [v = target])`.
 *
 * @param head `[V, D]` as dequantized
 * @param magnitudes `[V, D]`, see {@linkcode weightMagnitudes}
 */
export function crossEntropyMagnitudes(
  hidden: ArrayLike<number>,
  head: ArrayLike<number>,
  magnitudes: ArrayLike<number>,
  targets: ArrayLike<number>,
  weights: ArrayLike<number>,
  D: number,
): CrossEntropyMagnitudes {
  const T = targets.length;
  const V = head.length / D;
  const losses = new Float64Array(T);
  const gradHidden = new Float64Array(T * D);
  const gradHead = new Float64Array(V * D);
  for (let t = 0; t < T; t++) {
    const logits = Float64Array.from({ length: V }, (_, v) => dot(hidden, t * D, head, v * D, D));
    const maximum = logits.reduce((left, right) => Math.max(left, right));
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - maximum), 0);
    const logSumExp = maximum + Math.log(total);
    let size = 0;
    for (let v = 0; v < V; v++) {
      size = Math.max(size, absoluteDot(hidden, t * D, magnitudes, v * D, D));
    }
    losses[t] = weights[t] === 0 ? 0 : 1 + 2 * size + Math.abs(logSumExp);
    for (let v = 0; v < V; v++) {
      const probability = Math.exp(logits[v]! - logSumExp);
      const gradLogit = Math.abs(weights[t]!) *
        ((1 + size) * probability + (v === targets[t] ? 1 : 0));
      for (let d = 0; d < D; d++) {
        gradHidden[t * D + d]! += gradLogit * magnitudes[v * D + d]!;
        gradHead[v * D + d]! += gradLogit * Math.abs(hidden[t * D + d]!);
      }
    }
  }
  return { losses, gradHidden, gradHead };
}

function forEachQuery(
  { batch, length, heads, kvHeads, headDim, window, starts }: AttentionSizes,
  visit: (query: number, statistic: number, visible: number[]) => void,
): void {
  for (let t = 0; t < batch * length; t++) {
    const first = t - Math.min(t % length - (starts?.[t] ?? 0), window - 1);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h * kvHeads / heads);
      const visible = [];
      for (let j = first; j <= t; j++) visible.push((j * kvHeads + kvHead) * headDim);
      visit((t * heads + h) * headDim, t * heads + h, visible);
    }
  }
}

function dot(
  left: ArrayLike<number>,
  leftStart: number,
  right: ArrayLike<number>,
  rightStart: number,
  count: number,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += left[leftStart + i]! * right[rightStart + i]!;
  return sum;
}

function absoluteDot(
  left: ArrayLike<number>,
  leftStart: number,
  right: ArrayLike<number>,
  rightStart: number,
  count: number,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += Math.abs(left[leftStart + i]! * right[rightStart + i]!);
  return sum;
}
