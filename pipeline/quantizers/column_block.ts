// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Blocks of columns for quantizers that treat a block as a whole before they go on to the next: what
 * a block loses is made up for by the columns right of it.
 *
 * `U` is the upper Cholesky factor of the inverse Hessian, `H^-1 = U^T U`. With the errors of a block
 * `E = (W - Q) U_bb^-1`, moving the columns to come by `-E U[block, right]` is the least-squares
 * optimum for them, given the block.
 *
 * @module
 */

import { type Block, block, copyBlock, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiplyInto } from "../linalg/multiply.ts";
import { solveTriangular } from "../linalg/triangular.ts";

/**
 * How the errors of a block are scaled for the columns right of it.
 *
 * - `exact`: `(W - Q) U_bb^-1`, the optimum.
 * - `diagonal`: each column divided by its own `U_jj`, as BiLLM publishes it: optimal only for a block
 *   of one column.
 */
export type Compensation = "exact" | "diagonal";

/**
 * Moves the columns right of a block so that they make up for its error.
 *
 * @param weights `[rows, columns]`: the block at `start` as it was before it was quantized; what is
 * right of it is overwritten.
 * @param quantized `[rows, width]`: what became of the block.
 */
export function compensate(
  weights: Matrix,
  upper: Matrix,
  start: number,
  quantized: Matrix,
  compensation: Compensation,
): void {
  const { rows, columns: width } = quantized;
  const difference = copyBlock(block(weights, 0, start, rows, width));
  for (let index = 0; index < difference.values.length; index++) {
    difference.values[index]! -= quantized.values[index]!;
  }
  const errors = compensation === "exact"
    ? solveTriangular(block(upper, start, start, width, width), difference, {
      upper: true,
      side: "right",
    })
    : divideColumns(difference, upper, start);
  spread(weights, upper, start, errors);
}

function divideColumns(difference: Matrix, upper: Matrix, start: number): Matrix {
  const { columns, values } = difference;
  for (let index = 0; index < values.length; index++) {
    const column = start + index % columns;
    values[index]! /= upper.values[column * (upper.columns + 1)]!;
  }
  return difference;
}

/** `W[:, right] -= E U[block, right]`. */
function spread(weights: Matrix, upper: Matrix, start: number, errors: Matrix): void {
  const end = start + errors.columns;
  multiplyInto(block(weights, 0, end), errors, block(upper, start, end, errors.columns), {
    scale: -1,
    accumulate: true,
  });
}

/**
 * Rounds the columns of a block one after another, each error made up for by the columns to come, in
 * the block and right of it: GPTQ's loop for one block.
 *
 * @param weights `[rows, columns]`, overwritten from `start` on: the block with the values that were
 * rounded, what is right of it with those to round.
 * @param round Returns what becomes of a value; called column by column within a row.
 */
export function roundBlock(
  weights: Matrix,
  upper: Matrix,
  start: number,
  width: number,
  round: (value: number, row: number, column: number) => number,
): void {
  const { rows, columns } = weights;
  const errors = matrix(rows, width);
  const current: Block = block(weights, 0, start, rows, width);
  for (let row = 0; row < rows; row++) {
    const first = current.offset + row * current.stride;
    for (let column = 0; column < width; column++) {
      const value = current.values[first + column]!;
      const from = (start + column) * columns + start;
      const error = (value - round(value, row, start + column)) / upper.values[from + column]!;
      for (let next = column + 1; next < width; next++) {
        current.values[first + next]! -= error * upper.values[from + next]!;
      }
      errors.values[row * width + column] = error;
    }
  }
  spread(weights, upper, start, errors);
}
