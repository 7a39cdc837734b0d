// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Columns of a matrix in another order.
 *
 * @module
 */

/** Dimensions of a selection of columns. */
export interface SelectionDimensions {
  /** Rows. */
  readonly M: number;
  /** Columns that can be selected. */
  readonly K: number;
  /** Columns that are selected. */
  readonly C: number;
}

/**
 * `output[m, c] = input[m, order[c]]`.
 *
 * @param input `[M, K]`
 * @param order `[C]`
 * @param output `[M, C]`
 * @throws {RangeError} If an index is not below K.
 */
export function gatherColumns(
  input: Float64Array,
  order: Uint32Array,
  output: Float64Array,
  { M, K, C }: SelectionDimensions,
): void {
  checkOrder("gatherColumns", order, K);
  for (let m = 0; m < M; m++) {
    for (let c = 0; c < C; c++) output[m * C + c] = input[m * K + order[c]!]!;
  }
}

/**
 * `output[m, order[c]] += input[m, c]`.
 *
 * @param input `[M, C]`
 * @param order `[C]`, no two equal
 * @param output `[M, K]`
 * @throws {RangeError} If an index is not below K or occurs twice.
 */
export function scatterColumns(
  input: Float64Array,
  order: Uint32Array,
  output: Float64Array,
  { M, K, C }: SelectionDimensions,
): void {
  checkOrder("scatterColumns", order, K);
  if (new Set(order).size < C) {
    throw new RangeError("scatterColumns: two indices of order are equal, but all must differ");
  }
  for (let m = 0; m < M; m++) {
    for (let c = 0; c < C; c++) output[m * K + order[c]!]! += input[m * C + c]!;
  }
}

function checkOrder(operation: string, order: Uint32Array, K: number): void {
  const c = order.findIndex((column) => column >= K);
  if (c < 0) return;
  throw new RangeError(
    `${operation}: index ${c} of order is ${order[c]}, but there are ${K} columns`,
  );
}
