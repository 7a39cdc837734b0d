// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Householder reflections `H = I - tau v vᵀ`, one and many at once. The vectors lie in rows.
 *
 * A run of k reflections is `H1 H2 ... Hk = I - Vᵀ T V` with an upper triangle T (the compact WY form;
 * Schreiber and Van Loan 1989), so that applying them is three products.
 *
 * @module
 */

import { type Block, block, type Matrix, matrix } from "./matrix.ts";
import { multiply, multiplyInto } from "./multiply.ts";
import { dot, scaleVector } from "./vectors.ts";

/**
 * The reflection that maps a vector x to `(beta, 0, ..., 0)`. The vector v, whose first element is 1,
 * takes the place of x; `tau` is 0 if x is already of that form.
 */
export function reflect(
  values: Float64Array,
  start: number,
  count: number,
): { beta: number; tau: number } {
  const alpha = values[start]!;
  const rest = dot(values, start + 1, values, start + 1, count - 1);
  values[start] = 1;
  if (rest === 0) {
    values.fill(0, start + 1, start + count);
    return { beta: alpha, tau: 0 };
  }
  const norm = Math.sqrt(alpha * alpha + rest);
  // The sign that adds: no cancellation in alpha - beta.
  const beta = alpha > 0 ? -norm : norm;
  scaleVector(values, start + 1, 1 / (alpha - beta), count - 1);
  return { beta, tau: (beta - alpha) / beta };
}

/** The triangle T of reflections whose vectors are the rows of `vectors`. */
export function reflectionTriangle(vectors: Block, taus: Float64Array): Matrix {
  const size = vectors.rows;
  const gram = multiply(vectors, vectors, { transposeRight: true });
  const triangle = matrix(size, size);
  const t = triangle.values;
  for (let j = 0; j < size; j++) {
    t[j * size + j] = taus[j]!;
    for (let i = 0; i < j; i++) {
      let sum = 0;
      for (let k = i; k < j; k++) sum += t[i * size + k]! * gram.values[k * size + j]!;
      t[i * size + j] = -taus[j]! * sum;
    }
  }
  return triangle;
}

/**
 * Multiplies rows from the right with `I - Vᵀ T V`, or with its transpose.
 */
export function applyReflections(
  rows: Matrix | Block,
  vectors: Block,
  triangle: Matrix,
  transpose: boolean,
): void {
  const projections = multiply(rows, vectors, { transposeRight: true });
  const weights = multiply(projections, triangle, { transposeRight: transpose });
  multiplyInto(block(rows), weights, vectors, { scale: -1, accumulate: true });
}
