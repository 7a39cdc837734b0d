// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Matrices with known answers, and checks written as plain loops: nothing here uses what it tests.
 *
 * @module
 */

import assert from "node:assert/strict";
import { RandomStream } from "../../../kernels/random.ts";
import { type Matrix, matrix } from "../matrix.ts";

/** A matrix from a function of row and column. */
export function fill(
  rows: number,
  columns: number,
  element: (i: number, j: number) => number,
): Matrix {
  const values = Float64Array.from(
    { length: rows * columns },
    (_, index) => element(Math.floor(index / columns), index % columns),
  );
  return matrix(rows, columns, values);
}

/** Independent standard normal elements. */
export function gaussian(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, "linear algebra test");
  return fill(rows, columns, (i, j) => stream.normal(i * columns + j));
}

/** Integers from -4 to 4: products of them are exact in every order of summation. */
export function integers(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, "linear algebra test");
  return fill(rows, columns, (i, j) => Math.floor(9 * stream.uniform(i * columns + j)) - 4);
}

/** Hilbert's matrix, symmetric positive definite and as ill-conditioned as it gets. */
export function hilbert(size: number): Matrix {
  return fill(size, size, (i, j) => 1 / (i + j + 1));
}

/** A dense matrix with the given singular values: reflections on both sides of a diagonal. */
export function withSingularValues(
  rows: number,
  columns: number,
  value: (index: number) => number,
  seed = 1,
): Matrix {
  const result = fill(rows, columns, (i, j) => i === j ? value(i) : 0);
  for (let turn = 0; turn < 3; turn++) {
    reflectRows(result, gaussian(rows, 1, 100 * seed + turn).values);
    reflectColumns(result, gaussian(columns, 1, 100 * seed + turn + 50).values);
  }
  return result;
}

/** A dense symmetric matrix with the given eigenvalues. */
export function withEigenvalues(size: number, value: (index: number) => number): Matrix {
  const result = fill(size, size, (i, j) => i === j ? value(i) : 0);
  for (let turn = 0; turn < 3; turn++) {
    const vector = gaussian(size, 1, turn).values;
    reflectRows(result, vector);
    reflectColumns(result, vector);
  }
  // Rounding has made the triangles differ in the last bits.
  return fill(size, size, (i, j) => result.values[Math.min(i, j) * size + Math.max(i, j)]!);
}

function reflectRows({ rows, columns, values }: Matrix, vector: Float64Array): void {
  const square = vector.reduce((sum, x) => sum + x * x, 0);
  for (let j = 0; j < columns; j++) {
    let along = 0;
    for (let i = 0; i < rows; i++) along += vector[i]! * values[i * columns + j]!;
    for (let i = 0; i < rows; i++) {
      values[i * columns + j]! -= 2 * along / square * vector[i]!;
    }
  }
}

function reflectColumns({ rows, columns, values }: Matrix, vector: Float64Array): void {
  const square = vector.reduce((sum, x) => sum + x * x, 0);
  for (let i = 0; i < rows; i++) {
    const row = values.subarray(i * columns, (i + 1) * columns);
    const along = row.reduce((sum, x, j) => sum + x * vector[j]!, 0);
    for (let j = 0; j < columns; j++) row[j]! -= 2 * along / square * vector[j]!;
  }
}

/** The transpose, element by element. */
export function flip({ rows, columns, values }: Matrix): Matrix {
  return fill(columns, rows, (i, j) => values[j * columns + i]!);
}

/** The product by its definition. */
export function plainProduct(left: Matrix, right: Matrix): Matrix {
  const result = matrix(left.rows, right.columns);
  for (let i = 0; i < left.rows; i++) {
    for (let k = 0; k < left.columns; k++) {
      const factor = left.values[i * left.columns + k]!;
      for (let j = 0; j < right.columns; j++) {
        result.values[i * right.columns + j]! += factor * right.values[k * right.columns + j]!;
      }
    }
  }
  return result;
}

/** The largest difference of elements. */
export function distance(left: Matrix, right: Matrix): number {
  assert.deepEqual([left.rows, left.columns], [right.rows, right.columns]);
  let most = 0;
  for (let i = 0; i < left.values.length; i++) {
    const difference = Math.abs(left.values[i]! - right.values[i]!);
    // Written so that NaN is a large difference.
    if (!(difference <= most)) most = Number.isNaN(difference) ? Infinity : difference;
  }
  return most;
}

/** Asserts that no two elements differ by more than `tolerance`. */
export function assertNear(left: Matrix, right: Matrix, tolerance: number): void {
  const most = distance(left, right);
  assert(most <= tolerance, `elements differ by ${most}, more than ${tolerance}`);
}

/** Asserts that numbers agree within `tolerance`. */
export function assertNumbersNear(
  left: ArrayLike<number>,
  right: ArrayLike<number>,
  tolerance: number,
): void {
  assert.equal(left.length, right.length);
  assertNear(
    matrix(1, left.length, Float64Array.from(left)),
    matrix(1, right.length, Float64Array.from(right)),
    tolerance,
  );
}

/** Asserts that columns are orthonormal up to the rounding of a few sums of their length. */
export function assertOrthonormalColumns(vectors: Matrix): void {
  const gram = plainProduct(flip(vectors), vectors);
  const tolerance = 8 * Number.EPSILON * Math.max(10, vectors.rows);
  assertNear(gram, fill(gram.rows, gram.rows, (i, j) => i === j ? 1 : 0), tolerance);
}

/** Columns multiplied with one factor each. */
export function scaleColumns({ rows, columns, values }: Matrix, factors: Float64Array): Matrix {
  return fill(rows, columns, (i, j) => values[i * columns + j]! * factors[j]!);
}
