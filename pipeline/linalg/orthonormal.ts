// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Orthonormal rows by Gram-Schmidt with repetition, and fresh directions where a row has none.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { type Block, block, type Matrix, matrix } from "./matrix.ts";
import { multiply, multiplyInto } from "./multiply.ts";
import { addMultiple, dot, scaleVector } from "./vectors.ts";

/** What rows were made of: `rows = along basis + triangle result`. */
export interface Composition {
  /** `[rows, basis rows]`. */
  readonly along: Matrix;
  /** `[rows, rows]`, lower triangle. */
  readonly triangle: Matrix;
}

/** Passes over one row; two are enough unless directions are random and the space is nearly full. */
const MOST_PASSES = 8;

/**
 * Replaces rows by orthonormal ones, orthogonal to those of an orthonormal `basis`, in place.
 *
 * A row that depends on the basis and the rows above it becomes a random direction, with a zero on the
 * diagonal of the triangle: the composition is as exact as for the others.
 *
 * @throws {RangeError} if there is no room for that many directions.
 */
export function orthonormalize(rows: Block, basis: Block): Composition {
  const { rows: count, columns: length, values } = rows;
  if (count + basis.rows > length) {
    throw new RangeError(
      `${count} rows of ${length} elements cannot be orthogonal to ${basis.rows} and to each other.`,
    );
  }
  const norms = Float64Array.from({ length: count }, (_, i) => normOf(rows, i));
  const along = multiply(rows, basis, { transposeRight: true });
  multiplyInto(rows, along, basis, { scale: -1, accumulate: true });
  const correction = multiply(rows, basis, { transposeRight: true });
  multiplyInto(rows, correction, basis, { scale: -1, accumulate: true });
  for (let i = 0; i < along.values.length; i++) along.values[i]! += correction.values[i]!;
  const triangle = matrix(count, count);
  for (let i = 0; i < count; i++) {
    const place = rows.offset + i * rows.stride;
    const coefficients = triangle.values.subarray(i * count, i * count + i);
    const basisCoefficients = along.values.subarray(i * basis.rows, (i + 1) * basis.rows);
    let norm = normOf(rows, i);
    const previous = block(rows, 0, 0, i);
    for (let pass = 0; pass < MOST_PASSES; pass++) {
      removeAlong(values, place, previous, coefficients);
      const rest = normOf(rows, i);
      const hasShrunk = rest < 0.5 * norm;
      norm = rest;
      if (!hasShrunk || norm <= negligible(norms[i]!, length)) break;
      // What is left of a short rest along the basis has grown with respect to it.
      removeAlong(values, place, basis, basisCoefficients);
    }
    if (norm > negligible(norms[i]!, length)) {
      triangle.values[i * count + i] = norm;
      scaleVector(values, place, 1 / norm, length);
    } else {
      replaceByRandom(rows, i, basis);
    }
  }
  return { along, triangle };
}

/** Below this a rest is what rounding has left of a row. */
function negligible(norm: number, length: number): number {
  return 4 * Number.EPSILON * Math.sqrt(length) * norm;
}

function normOf({ values, offset, stride, columns }: Block, row: number): number {
  const start = offset + row * stride;
  return Math.sqrt(dot(values, start, values, start, columns));
}

/** Removes what a vector has along orthonormal rows, and adds it to `coefficients`. */
function removeAlong(
  values: Float64Array,
  place: number,
  rows: Block,
  coefficients: Float64Array,
): void {
  for (let k = 0; k < rows.rows; k++) {
    const other = rows.offset + k * rows.stride;
    const product = dot(values, place, rows.values, other, rows.columns);
    coefficients[k]! += product;
    addMultiple(values, place, -product, rows.values, other, rows.columns);
  }
}

function replaceByRandom(rows: Block, row: number, basis: Block): void {
  const { values, columns: length } = rows;
  const place = rows.offset + row * rows.stride;
  const previous = block(rows, 0, 0, row);
  const stream = new RandomStream(basis.rows, "orthonormal directions", row);
  for (let i = 0; i < length; i++) values[place + i] = stream.normal(i);
  const ignored = new Float64Array(Math.max(basis.rows, row));
  // The second pass removes what rounding has left of the first; a third follows only if much went.
  for (let pass = 0; pass < MOST_PASSES; pass++) {
    removeAlong(values, place, basis, ignored);
    removeAlong(values, place, previous, ignored);
    const norm = normOf(rows, row);
    scaleVector(values, place, 1 / norm, length);
    if (pass > 0 && norm > 0.5) return;
  }
  throw new Error(`No direction is left beside ${basis.rows + row} of ${length}.`);
}
