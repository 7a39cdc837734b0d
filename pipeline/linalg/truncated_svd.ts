/**
 * The best approximation of low rank: leading singular values and vectors of a matrix, and leading
 * eigenvectors of a symmetric positive semidefinite matrix or operator.
 *
 * @module
 */

import { basisSize, blockLanczos, type LinearMap } from "./block_lanczos.ts";
import { block, copyBlock, identity, type Matrix, transpose } from "./matrix.ts";
import { packRight } from "./packed_matrix.ts";
import { scaleToOne } from "./scaling.ts";
import { type Svd, svd } from "./svd.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";

/** Matrices up to this size, in the smaller direction, are decomposed in full. */
const SMALL = 256;

/** A symmetric positive semidefinite map, without its elements. */
export interface SymmetricOperator {
  /** Rows, and columns. */
  readonly size: number;
  /** Images of vectors that lie in rows: `[k, size]` to `[k, size]`. */
  apply(vectors: Matrix): Matrix;
}

/** Leading eigenvalues, descending, and orthonormal eigenvectors. */
export interface LeadingEigen {
  /** `[r]`. */
  readonly values: Float64Array;
  /** `[n, r]`; column j belongs to value j. */
  readonly vectors: Matrix;
}

/**
 * The `rank` largest singular values of a matrix `[m, n]` and their vectors: of all matrices of that
 * rank, `U diag(s) Vᵀ` is closest to the matrix (Eckart and Young 1936).
 *
 * Small matrices and large ranks are decomposed in full; otherwise Lanczos's method is used, until
 * every residual is below 1e-10 of the largest singular value, and the full decomposition if it does
 * not get there.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { truncatedSvd } from "./truncated_svd.ts";
 *
 * const { singularValues, u } = truncatedSvd(matrix(2, 2, Float64Array.of(3, 0, 0, 5)), 1);
 * assert.deepEqual([...singularValues], [5]);
 * assert.deepEqual([...u.values].map(Math.abs), [0, 1]);
 * ```
 *
 * @throws {RangeError} if the rank is not a whole number from 0 to the smaller of m and n, or an element
 * is not finite.
 */
export function truncatedSvd(source: Matrix, rank: number): Svd {
  const smaller = Math.min(source.rows, source.columns);
  checkRank(rank, smaller, `a matrix [${source.rows}, ${source.columns}]`);
  if (isForLanczos(smaller, rank)) {
    const { scaled, factor } = scaleToOne(source);
    const result = blockLanczos(mapOf(scaled), rank);
    if (result !== null) {
      return {
        u: transpose(result.left),
        singularValues: result.singularValues.map((value) => value * factor),
        v: transpose(result.right),
      };
    }
  }
  const { u, singularValues, v } = svd(source);
  return {
    u: copyBlock(block(u, 0, 0, u.rows, rank)),
    singularValues: singularValues.slice(0, rank),
    v: copyBlock(block(v, 0, 0, v.rows, rank)),
  };
}

/**
 * The `rank` largest eigenvalues and their vectors of a symmetric positive semidefinite matrix, or of
 * an operator that is given by a function, which should multiply by `packRight` as it is called a
 * hundred times with a dozen vectors. The same methods as in {@linkcode truncatedSvd}; an operator's
 * elements are computed, by applying it to the unit vectors, only where the full decomposition is
 * needed.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { type Matrix, matrix } from "./matrix.ts";
 * import { multiply } from "./multiply.ts";
 * import { leadingEigenvectors } from "./truncated_svd.ts";
 *
 * const factor = matrix(2, 2, Float64Array.of(1, 0, 0, 2));
 * const square = {
 *   size: 2,
 *   apply: (x: Matrix) => multiply(multiply(x, factor), factor, { transposeRight: true }),
 * };
 * assert.deepEqual([...leadingEigenvectors(square, 1).values], [4]);
 * ```
 *
 * @throws {RangeError} if the rank is not a whole number from 0 to n, or an element is not finite.
 */
export function leadingEigenvectors(
  source: Matrix | SymmetricOperator,
  rank: number,
): LeadingEigen {
  const isOperator = "size" in source;
  if (!isOperator && source.rows !== source.columns) {
    throw new RangeError(`A matrix [${source.rows}, ${source.columns}] is not square.`);
  }
  const size = isOperator ? source.size : source.rows;
  checkRank(rank, size, `an operator of ${size} dimensions`);
  if (isForLanczos(size, rank)) {
    const apply = isOperator ? (vectors: Matrix) => source.apply(vectors) : packRight(source);
    const result = blockLanczos({ rows: size, columns: size, apply, applyTransposed: apply }, rank);
    if (result !== null) {
      return { values: result.singularValues, vectors: transpose(result.right) };
    }
  }
  const whole = isOperator ? source.apply(identity(size)) : source;
  const { values, vectors } = symmetricEigen(whole);
  return {
    values: values.slice(0, rank),
    vectors: copyBlock(block(vectors, 0, 0, size, rank)),
  };
}

function isForLanczos(size: number, rank: number): boolean {
  return rank > 0 && size > SMALL && basisSize(rank) <= size / 2;
}

function checkRank(rank: number, most: number, subject: string): void {
  if (!Number.isInteger(rank) || rank < 0 || rank > most) {
    throw new RangeError(`Rank ${rank} of ${subject} is not a whole number from 0 to ${most}.`);
  }
}

function mapOf(source: Matrix): LinearMap {
  return {
    rows: source.rows,
    columns: source.columns,
    apply: packRight(source, { transposeRight: true }),
    applyTransposed: packRight(source),
  };
}
