/**
 * Approximate leading singular values and vectors from products with random vectors (Halko, Martinsson
 * and Tropp 2011, "Finding structure with randomness", algorithms 4.4 and 5.1).
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { block, copyBlock, type Matrix, matrix, transpose } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { lowerOrthogonal } from "./qr.ts";
import { scaleToOne } from "./scaling.ts";
import { type Svd, svdRows } from "./svd.ts";

/** How much work the approximation is worth. */
export interface RandomizedSvdOptions {
  /** Random vectors beyond the rank; default 10. */
  readonly oversampling?: number;
  /**
   * Times that singular values are raised by two powers before directions are chosen; default 2. The
   * flatter the spectrum, the more are needed.
   */
  readonly powerIterations?: number;
  /** Seed of the random vectors; default 0. */
  readonly seed?: number;
}

/**
 * An approximation of the `rank` leading singular values and vectors of a matrix `[m, n]`. Vectors are
 * orthonormal, and singular values are those of the matrix projected on a subspace: never larger than
 * the true ones. For exact results see {@linkcode truncatedSvd}.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { randomizedSvd } from "./randomized_svd.ts";
 *
 * const ones = matrix(4, 9, new Float64Array(36).fill(1));
 * const [value = 0] = randomizedSvd(ones, 1).singularValues;
 * assert(Math.abs(value - 6) < 1e-14);
 * ```
 *
 * @throws {RangeError} if the rank is not a whole number from 0 to the smaller of m and n, another
 * number is negative, or an element is not finite.
 */
export function randomizedSvd(
  source: Matrix,
  rank: number,
  options: RandomizedSvdOptions = {},
): Svd {
  const { oversampling = 10, powerIterations = 2, seed = 0 } = options;
  const smaller = Math.min(source.rows, source.columns);
  if (!Number.isInteger(rank) || rank < 0 || rank > smaller) {
    throw new RangeError(
      `Rank ${rank} of a matrix [${source.rows}, ${source.columns}] is not a whole number from 0 to ` +
        `${smaller}.`,
    );
  }
  if (!(oversampling >= 0 && powerIterations >= 0)) {
    throw new RangeError(
      `Oversampling ${oversampling} and power iterations ${powerIterations} cannot be negative.`,
    );
  }
  const { scaled, factor } = scaleToOne(source);
  const count = Math.min(rank + oversampling, smaller);
  const stream = new RandomStream(seed, "randomized svd");
  const normals = Float64Array.from(
    { length: count * source.columns },
    (_, index) => stream.normal(index),
  );
  let basis = imagesOf(scaled, matrix(count, source.columns, normals));
  for (let iteration = 0; iteration < powerIterations; iteration++) {
    const back = lowerOrthogonal(multiply(basis, scaled)).rows;
    basis = imagesOf(scaled, back);
  }
  const { left, singularValues, right } = svdRows(multiply(basis, scaled));
  return {
    u: transpose(multiply(block(left, 0, 0, rank), basis)),
    singularValues: singularValues.slice(0, rank).map((value) => value * factor),
    v: transpose(copyBlock(block(right, 0, 0, rank))),
  };
}

/** Orthonormal rows that span the images of vectors in rows. */
function imagesOf(source: Matrix, vectors: Matrix): Matrix {
  return lowerOrthogonal(multiply(vectors, source, { transposeRight: true })).rows;
}
