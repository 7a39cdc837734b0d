// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Token embedding.
 *
 * @module
 */

import type { VocabularyDimensions } from "../shapes.ts";

/**
 * `output[t] = table[tokens[t]]`.
 *
 * @param tokens `[T]`
 * @param table `[V, D]`
 * @param output `[T, D]`
 * @throws {RangeError} If a token is not below V.
 */
export function embedding(
  tokens: Uint32Array,
  table: Float64Array,
  output: Float64Array,
  { T, D, V }: VocabularyDimensions,
): void {
  for (let t = 0; t < T; t++) {
    const token = tokens[t]!;
    if (token >= V) {
      throw new RangeError(`embedding: token ${t} is ${token}, but the table has ${V} rows`);
    }
    for (let d = 0; d < D; d++) output[t * D + d] = table[token * D + d]!;
  }
}

/**
 * Backward of {@linkcode embedding}: `dTable[v] += sum of dy[order[i]], offsets[v] <= i < offsets[v + 1]`.
 *
 * @param gradOutput dy `[T, D]`
 * @param order `[T]`, positions sorted by token
 * @param offsets `[V + 1]`
 * @param gradTable dTable `[V, D]`, added to
 */
export function embeddingBackward(
  gradOutput: Float64Array,
  order: Uint32Array,
  offsets: Uint32Array,
  gradTable: Float64Array,
  { D, V }: VocabularyDimensions,
): void {
  for (let v = 0; v < V; v++) {
    for (let i = offsets[v]!; i < offsets[v + 1]!; i++) {
      for (let d = 0; d < D; d++) gradTable[v * D + d]! += gradOutput[order[i]! * D + d]!;
    }
  }
}
