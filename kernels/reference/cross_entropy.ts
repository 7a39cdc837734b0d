// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Cross-entropy of a language-model head.
 *
 * @module
 */

import type { VocabularyDimensions } from "../shapes.ts";
import { linear } from "./linear.ts";

/**
 * For every token t with `weights[t] != 0`: `z = head hidden[t]`,
 * `losses[t] = log sum_v exp(z[v]) - z[targets[t]]`, `dz[v] = weights[t] (softmax(z)[v] - [v = target])`,
 * `gradHidden[t] = dz head`, `gradHead += dz hidden[t]^T`. Elsewhere loss and gradient are 0.
 *
 * @param hidden `[T, D]`
 * @param head `[V, D]`
 * @param targets `[T]`
 * @param weights `[T]`
 * @param losses `[T]`, overwritten
 * @param gradHidden `[T, D]`, overwritten
 * @param gradHead `[V, D]`, added to
 * @throws {RangeError} If the target of a weighted token is not below V.
 */
export function crossEntropy(
  hidden: Float64Array,
  head: Float64Array,
  targets: Uint32Array,
  weights: Float64Array,
  losses: Float64Array,
  gradHidden: Float64Array | null,
  gradHead: Float64Array | null,
  { T, D, V }: VocabularyDimensions,
): void {
  const logits = new Float64Array(V);
  for (let t = 0; t < T; t++) {
    losses[t] = 0;
    gradHidden?.fill(0, t * D, (t + 1) * D);
    if (weights[t] === 0) continue;
    const target = targets[t]!;
    if (target >= V) {
      throw new RangeError(`crossEntropy: target ${t} is ${target}, but the head has ${V} rows`);
    }
    const x = hidden.subarray(t * D, (t + 1) * D);
    linear(x, head, null, logits, { M: 1, K: D, N: V }, false);
    const maximum = logits.reduce((left, right) => Math.max(left, right));
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit - maximum), 0);
    const logSumExp = maximum + Math.log(total);
    losses[t] = logSumExp - logits[target]!;
    for (let v = 0; v < V; v++) {
      const probability = Math.exp(logits[v]! - logSumExp);
      const gradLogit = weights[t]! * (probability - (v === target ? 1 : 0));
      for (let d = 0; d < D; d++) {
        if (gradHidden) gradHidden[t * D + d]! += gradLogit * head[v * D + d]!;
        if (gradHead) gradHead[v * D + d]! += gradLogit * x[d]!;
      }
    }
  }
}

/** `output[0] = sum_t weights[t] values[t]`. */
export function weightedSum(
  values: Float64Array,
  weights: Float64Array,
  output: Float64Array,
): void {
  output[0] = values.reduce((sum, value, t) => sum + weights[t]! * value, 0);
}
