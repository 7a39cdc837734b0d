// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Cholesky's factorization of symmetric positive definite matrices, and inverses by it.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { type Block, block, type Matrix, matrix, mirrorLower } from "./matrix.ts";
import { multiplyInto } from "./multiply.ts";
import { invertTriangular, solveTriangularInPlace } from "./triangular.ts";

/** A matrix that should be positive definite is not, as far as rounding lets one see. */
export class NotPositiveDefiniteError extends UserError {
  /** The first row, from 0, whose leading square is not positive definite. */
  readonly pivot: number;
  /** What is left of its diagonal element after elimination; positive for a definite matrix. */
  readonly value: number;

  /** For a matrix of `size` rows. */
  constructor(size: number, pivot: number, value: number) {
    super(
      `A matrix [${size}, ${size}] is not positive definite: pivot ${pivot} is ${value}, not a ` +
        "positive number; add a multiple of the identity (damping), or more samples.",
    );
    this.pivot = pivot;
    this.value = value;
  }
}

/** Squares up to this size are factored without products. */
const SMALL = 16;

/** Rows of the inverse that are computed at once. */
const STRIP = 192;

/**
 * The lower triangle L with `A = L Lᵀ`; zeros above its diagonal. Only the lower triangle of A is
 * read.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { cholesky } from "./cholesky.ts";
 * import { matrix } from "./matrix.ts";
 *
 * const lower = cholesky(matrix(2, 2, Float64Array.of(4, 2, 2, 10)));
 * assert.deepEqual([...lower.values], [2, 0, 1, 3]);
 * ```
 *
 * @throws {NotPositiveDefiniteError} if a pivot is not a positive number.
 * @throws {RangeError} if the matrix is not square.
 */
export function cholesky(source: Matrix): Matrix {
  const size = source.rows;
  if (source.columns !== size) {
    throw new RangeError(`A matrix [${size}, ${source.columns}] is not square.`);
  }
  const lower = matrix(size, size);
  for (let i = 0; i < size; i++) {
    const row = i * size;
    lower.values.set(source.values.subarray(row, row + i + 1), row);
  }
  factor(block(lower), 0, size);
  return lower;
}

/**
 * The inverse of A from its factor: `A⁻¹ = L⁻ᵀ L⁻¹`, symmetric to the last bit.
 *
 * @throws {RangeError} if L is not square or an element of its diagonal is 0 or not finite.
 */
export function choleskyInverse(lower: Matrix): Matrix {
  const inverse = invertTriangular(lower);
  const size = lower.rows;
  const result = matrix(size, size);
  for (let row = 0; row < size; row += STRIP) {
    const rows = Math.min(STRIP, size - row);
    // Rows above the strip have zeros in its columns.
    const strip = block(inverse, row, row, size - row, rows);
    const before = block(inverse, row, 0, size - row, row);
    multiplyInto(block(result, row, 0, rows, row), strip, before, { transposeLeft: true });
    const diagonal = block(result, row, row, rows, rows);
    multiplyInto(diagonal, strip, strip, { transposeLeft: true, lowerOnly: true });
  }
  mirrorLower(result);
  return result;
}

/** Factors a square in place; `start` is its first row in the whole of `size` rows. */
function factor(square: Block, start: number, size: number): void {
  const { rows } = square;
  if (rows <= SMALL) {
    factorSmall(square, start, size);
    return;
  }
  const half = rows >> 1;
  const rest = rows - half;
  const first = block(square, 0, 0, half, half);
  const below = block(square, half, 0, rest, half);
  const second = block(square, half, half);
  factor(first, start, size);
  solveTriangularInPlace(first, below, { side: "right", transpose: true });
  const update = { transposeRight: true, scale: -1, accumulate: true, lowerOnly: true };
  multiplyInto(second, below, below, update);
  factor(second, start + half, size);
}

function factorSmall(square: Block, start: number, size: number): void {
  const { rows, values, offset, stride } = square;
  for (let j = 0; j < rows; j++) {
    const row = offset + j * stride;
    let pivot = values[row + j]!;
    for (let k = 0; k < j; k++) pivot -= values[row + k]! ** 2;
    if (!(pivot > 0) || pivot === Infinity) {
      throw new NotPositiveDefiniteError(size, start + j, pivot);
    }
    const root = Math.sqrt(pivot);
    values[row + j] = root;
    for (let i = j + 1; i < rows; i++) {
      const below = offset + i * stride;
      let sum = values[below + j]!;
      for (let k = 0; k < j; k++) sum -= values[below + k]! * values[row + k]!;
      values[below + j] = sum / root;
    }
  }
}
