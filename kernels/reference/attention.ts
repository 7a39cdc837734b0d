// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Causal grouped-query attention (Vaswani et al. 2017; Ainslie et al. 2023), saving only the
 * log-sum-exp of each query for the backward pass (Dao et al. 2022, appendix B.2).
 *
 * @module
 */

/** Resolved shape, see {@linkcode AttentionShape}. */
export interface AttentionSizes {
  /** Sequences. */
  readonly batch: number;
  /** Tokens per sequence. */
  readonly length: number;
  /** Query heads. */
  readonly heads: number;
  /** Key and value heads. */
  readonly kvHeads: number;
  /** Features per head. */
  readonly headDim: number;
  /** Factor on the dot products. */
  readonly scale: number;
  /** Tokens a query sees, itself included. */
  readonly window: number;
  /** `[T]`: the position where the example of each token starts, before which it sees nothing. */
  readonly starts?: ArrayLike<number>;
}

/**
 * For query i and every key j with `i - window < j <= i` of the same sequence and example:
 * `s[j] = scale * q[i] . k[j]`, `p = softmax(s)`, `o[i] = sum_j p[j] v[j]`,
 * `logSumExp[i] = log sum_j exp(s[j])`.
 *
 * @param queries `[T, heads * headDim]`
 * @param keys `[T, kvHeads * headDim]`
 * @param values `[T, kvHeads * headDim]`
 * @param output `[T, heads * headDim]`
 * @param logSumExp `[T, heads]`
 */
export function attention(
  queries: Float64Array,
  keys: Float64Array,
  values: Float64Array,
  output: Float64Array,
  logSumExp: Float64Array,
  sizes: AttentionSizes,
): void {
  forEachQuery(sizes, (query, statistic, visible) => {
    logSumExp[statistic] = attend(queries, query, keys, values, visible, output, sizes);
  });
}

/**
 * One query head, whose features start at `query`, attends to the keys that start at `visible`.
 *
 * @returns The log-sum-exp of its scores.
 */
export function attend(
  queries: Float64Array,
  query: number,
  keys: Float64Array,
  values: Float64Array,
  visible: readonly number[],
  output: Float64Array,
  { headDim, scale }: Pick<AttentionSizes, "headDim" | "scale">,
): number {
  const scores = visible.map((key) => scale * dot(queries, query, keys, key, headDim));
  const maximum = Math.max(...scores);
  const total = scores.reduce((sum, score) => sum + Math.exp(score - maximum), 0);
  const logSumExp = maximum + Math.log(total);
  for (let d = 0; d < headDim; d++) {
    let sum = 0;
    for (let j = 0; j < visible.length; j++) {
      sum += Math.exp(scores[j]! - logSumExp) * values[visible[j]! + d]!;
    }
    output[query + d] = sum;
  }
  return logSumExp;
}

/**
 * Backward of {@linkcode attention}. With `p[j] = exp(s[j] - logSumExp)`, `dp[j] = do . v[j]` and
 * `ds[j] = p[j] (dp[j] - do . o)`: `dv[j] += p[j] do`, `dq += scale ds[j] k[j]`,
 * `dk[j] += scale ds[j] q`. All three are overwritten.
 *
 * @param gradOutput do `[T, heads * headDim]`
 * @param gradQueries dq `[T, heads * headDim]`
 * @param gradKeys dk `[T, kvHeads * headDim]`
 * @param gradValues dv `[T, kvHeads * headDim]`
 */
export function attentionBackward(
  queries: Float64Array,
  keys: Float64Array,
  values: Float64Array,
  output: Float64Array,
  logSumExp: Float64Array,
  gradOutput: Float64Array,
  gradQueries: Float64Array,
  gradKeys: Float64Array,
  gradValues: Float64Array,
  sizes: AttentionSizes,
): void {
  const { headDim, scale } = sizes;
  gradQueries.fill(0);
  gradKeys.fill(0);
  gradValues.fill(0);
  forEachQuery(sizes, (query, statistic, visible) => {
    const delta = dot(gradOutput, query, output, query, headDim);
    for (const key of visible) {
      const score = scale * dot(queries, query, keys, key, headDim);
      const probability = Math.exp(score - logSumExp[statistic]!);
      const gradProbability = dot(gradOutput, query, values, key, headDim);
      const gradScore = probability * (gradProbability - delta);
      for (let d = 0; d < headDim; d++) {
        gradValues[key + d]! += probability * gradOutput[query + d]!;
        gradQueries[query + d]! += scale * gradScore * keys[key + d]!;
        gradKeys[key + d]! += scale * gradScore * queries[query + d]!;
      }
    }
  });
}

/**
 * Visits every query head of every token: where its features start in the queries, its index in the
 * statistics `[T, heads]`, and where the features of each key it sees start in the keys.
 */
function forEachQuery(
  { batch, length, heads, kvHeads, headDim, window, starts }: AttentionSizes,
  visit: (query: number, statistic: number, visible: number[]) => void,
): void {
  for (let t = 0; t < batch * length; t++) {
    const position = t % length;
    const first = t - Math.min(position - (starts?.[t] ?? 0), window - 1);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h * kvHeads / heads);
      const visible = [];
      for (let j = first; j <= t; j++) visible.push((j * kvHeads + kvHead) * headDim);
      visit((t * heads + h) * headDim, t * heads + h, visible);
    }
  }
}

function dot(
  left: Float64Array,
  leftStart: number,
  right: Float64Array,
  rightStart: number,
  count: number,
): number {
  let sum = 0;
  for (let i = 0; i < count; i++) sum += left[leftStart + i]! * right[rightStart + i]!;
  return sum;
}
