// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The singular value decomposition by one-sided Jacobi rotations.
 *
 * Jacobi's method finds small singular values as exactly as large ones, but turns slowly from a bad
 * start (Drmač and Veselić 2008, "New fast and accurate Jacobi SVD algorithm"). Here it starts from the
 * eigenvectors of the Gram matrix: whatever squaring the spectrum has blurred, the rotations repair.
 *
 * @module
 */

import { assign, type Block, block, identity, type Matrix, matrix, transpose } from "./matrix.ts";
import { multiply, multiplyInto } from "./multiply.ts";
import { orthonormalize } from "./orthonormal.ts";
import { lowerOrthogonal } from "./qr.ts";
import { scaleToOne } from "./scaling.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { dot, rotate, scaleVector } from "./vectors.ts";

/** `A = U diag(singularValues) Vᵀ`, with orthonormal columns of U and V. */
export interface Svd {
  /** `[m, r]`. */
  readonly u: Matrix;
  /** `[r]`, descending, none negative. */
  readonly singularValues: Float64Array;
  /** `[n, r]`. */
  readonly v: Matrix;
}

/** The same with vectors in rows. */
export interface SvdRows {
  /** `[r, m]`. */
  readonly left: Matrix;
  /** `[r]`, descending, none negative. */
  readonly singularValues: Float64Array;
  /** `[r, n]`. */
  readonly right: Matrix;
}

/** Sweeps over all pairs; from the start that we give, two to six are enough. */
const MOST_SWEEPS = 40;

/** Rows shorter than this, in units of the longest, are not what their Gram matrix shows. */
const BLURRED = 1e-5;

/**
 * All singular values and vectors of a matrix `[m, n]`; `r` is the smaller of m and n.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { svd } from "./svd.ts";
 *
 * const { singularValues } = svd(matrix(1, 2, Float64Array.of(3, 4)));
 * assert.deepEqual([...singularValues], [5]);
 * ```
 *
 * @throws {RangeError} if an element is not finite.
 */
export function svd(source: Matrix): Svd {
  const { left, singularValues, right } = svdRows(source);
  return { u: transpose(left), singularValues, v: transpose(right) };
}

/** {@linkcode svd} with vectors in rows. */
export function svdRows(source: Matrix): SvdRows {
  if (source.rows > source.columns) {
    const { left, singularValues, right } = svdRows(transpose(source));
    return { left: right, singularValues, right: left };
  }
  const { scaled, factor } = scaleToOne(source);
  // A = L Q; with G Gᵀ = 1 the rows of G L become orthogonal: G A = (G L) Q = diag(s) Y Q.
  const { lower, rows } = lowerOrthogonal(scaled);
  const images = lower;
  const turned = identity(lower.rows);
  turnByGramMatrix(images, turned);
  rotateUntilOrthogonal(images, turned);
  const { order, norms } = descendingNorms(images);
  const left = permuteRows(turned, order);
  const inner = permuteRows(images, order);
  normalizeRows(inner, norms);
  return {
    left,
    singularValues: norms.map((norm) => norm * factor),
    right: multiply(inner, rows),
  };
}

/**
 * Turns rows of `images`, and of `turned` with them, by the eigenvectors of their Gram matrix, so that
 * they become nearly orthogonal. Squaring blurs what is much smaller than the largest; those rows are
 * turned again among themselves.
 */
function turnByGramMatrix(images: Matrix, turned: Matrix): void {
  let start = 0;
  let smallest = 0;
  while (start < images.rows) {
    const rows = block(images, start);
    const gram = multiply(rows, rows, { transposeRight: true });
    const { vectors } = symmetricEigen(gram);
    for (const target of [rows, block(turned, start)]) {
      assign(target, multiply(vectors, target, { transposeLeft: true }));
    }
    const norms = normsOf(rows);
    const largest = norms[0]!;
    if (start === 0) smallest = Number.EPSILON * largest;
    const blurred = norms.findIndex((norm) => norm < BLURRED * largest);
    if (blurred <= 0 || norms[blurred]! <= smallest) return;
    start += blurred;
  }
}

/** Rotates pairs of rows of `images`, and of `turned` with them, until all are orthogonal. */
function rotateUntilOrthogonal(images: Matrix, turned: Matrix): void {
  const { rows: size, columns, values } = images;
  const tolerance = Number.EPSILON * Math.sqrt(columns);
  const gram = matrix(size, size);
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    // One product tells the pairs that are worth a visit.
    multiplyInto(gram, images, images, { transposeRight: true, lowerOnly: true });
    const squares = Float64Array.from({ length: size }, (_, i) => gram.values[i * (size + 1)]!);
    const negligible = size * Number.EPSILON ** 2 *
      squares.reduce((most, square) => Math.max(most, square), 0);
    let rotations = 0;
    for (let i = 0; i < size; i++) {
      for (let j = i + 1; j < size; j++) {
        const [first, second] = [squares[i]!, squares[j]!];
        if (first <= negligible || second <= negligible) continue;
        const limit = tolerance * Math.sqrt(first * second);
        if (Math.abs(gram.values[j * size + i]!) <= limit) continue;
        const product = dot(values, i * columns, values, j * columns, columns);
        if (Math.abs(product) <= limit) continue;
        const zeta = (second - first) / (2 * product);
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const cosine = 1 / Math.hypot(1, tangent);
        const sine = cosine * tangent;
        rotate(values, i * columns, j * columns, cosine, sine, columns);
        rotate(turned.values, i * size, j * size, cosine, sine, size);
        squares[i] = first - tangent * product;
        squares[j] = second + tangent * product;
        rotations++;
      }
    }
    if (rotations === 0) return;
  }
  throw new Error(`Jacobi rotations did not converge in ${MOST_SWEEPS} sweeps.`);
}

function normsOf({ rows, columns, values, offset, stride }: Block): Float64Array {
  return Float64Array.from({ length: rows }, (_, i) => {
    const start = offset + i * stride;
    return Math.sqrt(dot(values, start, values, start, columns));
  });
}

function descendingNorms(images: Matrix): { order: number[]; norms: Float64Array } {
  const norms = normsOf(block(images));
  const order = Array.from(norms.keys()).sort((a, b) => norms[b]! - norms[a]!);
  return { order, norms: Float64Array.from(order, (row) => norms[row]!) };
}

function permuteRows({ rows, columns, values }: Matrix, order: readonly number[]): Matrix {
  const result = matrix(rows, columns);
  order.forEach((from, to) => {
    result.values.set(values.subarray(from * columns, (from + 1) * columns), to * columns);
  });
  return result;
}

/** Rows of length 1; in the place of those that are nothing but rounding, other directions. */
function normalizeRows(rows: Matrix, norms: Float64Array): void {
  const { columns, values } = rows;
  const negligible = Math.sqrt(rows.rows) * Number.EPSILON * (norms[0] ?? 0);
  const count = norms.findIndex((norm) => norm <= negligible);
  const certain = count < 0 ? rows.rows : count;
  for (let i = 0; i < certain; i++) scaleVector(values, i * columns, 1 / norms[i]!, columns);
  if (certain < rows.rows) {
    orthonormalize(block(rows, certain), block(rows, 0, 0, certain));
  }
}
