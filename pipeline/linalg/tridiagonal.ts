// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Reduction of a symmetric matrix to tridiagonal form by Householder reflections, `A = Q T Qᵀ`.
 *
 * The reflections of a panel of rows are collected before the rest of the matrix is updated, in one
 * product (Dongarra, Sorensen and Hammarling 1989, "Block reduction of matrices to condensed forms");
 * the other half of the work is one matrix-vector product for each row.
 *
 * @module
 */

import { applyReflections, reflect, reflectionTriangle } from "./householder.ts";
import { block, copy, type Matrix, matrix } from "./matrix.ts";
import { multiplyInto } from "./multiply.ts";
import { addMultiple, dot, scaleVector } from "./vectors.ts";

/** Rows that are reduced before the rest is updated. */
const PANEL_ROWS = 32;

/** Reflections that are undone at once. */
const UNDO_ROWS = 96;

/** A tridiagonal matrix, and the reflections that led to it. */
export interface Tridiagonal {
  /** `[n]`. */
  readonly diagonal: Float64Array;
  /** `[n]`: element i is beside the diagonal in rows i and i + 1; the last one is 0. */
  readonly beside: Float64Array;
  /** `[n, n]`: row i is the vector of reflection i, zeros up to and including column i. */
  readonly reflections: Matrix;
  /** `[n]`. */
  readonly taus: Float64Array;
}

/** Reduces a symmetric matrix; only its upper triangle decides. */
export function tridiagonalize(source: Matrix): Tridiagonal {
  const size = source.rows;
  const rest = copy(source);
  const result = {
    diagonal: new Float64Array(size),
    beside: new Float64Array(size),
    reflections: matrix(size, size),
    taus: new Float64Array(size),
  };
  const vectors = result.reflections.values;
  const partners = matrix(PANEL_ROWS, size);
  const row = new Float64Array(size);
  const image = new Float64Array(size);
  for (let start = 0; start < size; start += PANEL_ROWS) {
    const end = Math.min(start + PANEL_ROWS, size);
    for (let i = start; i < end; i++) {
      // Row i as the reflections of this panel before it leave it.
      row.set(rest.values.subarray(i * size + i, (i + 1) * size), i);
      for (let k = start; k < i; k++) {
        const [v, w] = [k * size, (k - start) * size];
        addMultiple(row, i, -vectors[v + i]!, partners.values, w + i, size - i);
        addMultiple(row, i, -partners.values[w + i]!, vectors, v + i, size - i);
      }
      result.diagonal[i] = row[i]!;
      if (i === size - 1) break;
      const first = i + 1;
      const count = size - first;
      const { beta, tau } = reflect(row, first, count);
      result.beside[i] = beta;
      result.taus[i] = tau;
      vectors.set(row.subarray(first), i * size + first);
      // w = tau A v - tau / 2 (tau vᵀ A v) v, so that H A H = A - v wᵀ - w vᵀ.
      multiplySymmetric(rest, first, row, image);
      for (let k = start; k < i; k++) {
        const [v, w] = [k * size + first, (k - start) * size + first];
        const alongPartner = dot(partners.values, w, row, first, count);
        const alongVector = dot(vectors, v, row, first, count);
        addMultiple(image, first, -alongPartner, vectors, v, count);
        addMultiple(image, first, -alongVector, partners.values, w, count);
      }
      scaleVector(image, first, tau, count);
      addMultiple(image, first, -tau / 2 * dot(image, first, row, first, count), row, first, count);
      const place = (i - start) * size;
      partners.values.fill(0, place, place + first);
      partners.values.set(image.subarray(first), place + first);
    }
    if (end === size) break;
    const remaining = block(rest, end, end);
    const v = block(result.reflections, start, end, end - start);
    const w = block(partners, 0, end, end - start);
    const update = { transposeLeft: true, scale: -1, accumulate: true };
    multiplyInto(remaining, v, w, update);
    multiplyInto(remaining, w, v, update);
  }
  return result;
}

/** Turns rows, eigenvectors of T, into eigenvectors of A: multiplies them with `Qᵀ`. */
export function undoReflections({ reflections, taus }: Tridiagonal, rows: Matrix): void {
  const size = reflections.rows;
  const last = Math.floor((size - 1) / UNDO_ROWS) * UNDO_ROWS;
  for (let start = last; start >= 0; start -= UNDO_ROWS) {
    const count = Math.min(UNDO_ROWS, size - start);
    const vectors = block(reflections, start, start, count);
    const triangle = reflectionTriangle(vectors, taus.subarray(start, start + count));
    applyReflections(block(rows, 0, start), vectors, triangle, true);
  }
}

/** `image = A x` for the square from row and column `first` on, of which the upper triangle is read. */
function multiplySymmetric(
  { rows: size, values }: Matrix,
  first: number,
  x: Float64Array,
  image: Float64Array,
): void {
  image.fill(0, first);
  let i = first;
  // Four rows at a time: every element is read once and used twice, and the vectors a quarter as often.
  for (; i + 3 < size; i += 4) {
    const [r0, r1, r2, r3] = [i * size, (i + 1) * size, (i + 2) * size, (i + 3) * size];
    const [x0, x1, x2, x3] = [x[i]!, x[i + 1]!, x[i + 2]!, x[i + 3]!];
    let [sum0, sum1, sum2, sum3] = [0, 0, 0, 0];
    for (let j = i + 4; j < size; j++) {
      const [a0, a1, a2, a3] = [values[r0 + j]!, values[r1 + j]!, values[r2 + j]!, values[r3 + j]!];
      const xj = x[j]!;
      sum0 += a0 * xj;
      sum1 += a1 * xj;
      sum2 += a2 * xj;
      sum3 += a3 * xj;
      image[j]! += a0 * x0 + a1 * x1 + (a2 * x2 + a3 * x3);
    }
    image[i]! += sum0;
    image[i + 1]! += sum1;
    image[i + 2]! += sum2;
    image[i + 3]! += sum3;
    multiplySmall(values, size, i, i + 4, x, image);
  }
  multiplySmall(values, size, i, size, x, image);
}

/** Adds the part of the square of rows and columns `from` to `to`. */
function multiplySmall(
  values: Float64Array,
  size: number,
  from: number,
  to: number,
  x: Float64Array,
  image: Float64Array,
): void {
  for (let i = from; i < to; i++) {
    image[i]! += values[i * size + i]! * x[i]!;
    for (let j = i + 1; j < to; j++) {
      image[i]! += values[i * size + j]! * x[j]!;
      image[j]! += values[i * size + j]! * x[i]!;
    }
  }
}
