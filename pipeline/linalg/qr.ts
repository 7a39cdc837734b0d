// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Orthogonal factors by Householder reflections, a panel at a time.
 *
 * @module
 */

import { applyReflections, reflect, reflectionTriangle } from "./householder.ts";
import { type Block, block, copyBlock, type Matrix, matrix } from "./matrix.ts";
import { addMultiple, dot } from "./vectors.ts";

/** Rows that are reduced before the rest is updated. */
const PANEL_ROWS = 32;

/** `A = L Q` with a lower triangle L `[m, m]` and orthonormal rows of Q `[m, n]`. */
export interface LowerOrthogonal {
  /** `[m, m]`, zeros above the diagonal. */
  readonly lower: Matrix;
  /** `[m, n]`. */
  readonly rows: Matrix;
}

/**
 * Factors a matrix `[m, n]` with m <= n into a lower triangle and orthonormal rows: the transposed QR
 * factorization of its transpose, which finds every vector in one piece of memory. Rows are
 * orthonormal whatever the rank is. Squares of elements should neither overflow nor vanish.
 *
 * @throws {RangeError} if there are more rows than columns.
 */
export function lowerOrthogonal(source: Matrix | Block): LowerOrthogonal {
  const { rows: count, columns: length } = source;
  if (count > length) {
    throw new RangeError(`${count} rows of ${length} elements cannot be orthonormal.`);
  }
  const rest = copyBlock(source);
  const reflections = matrix(count, length);
  const lower = matrix(count, count);
  const triangles: Matrix[] = [];
  const taus = new Float64Array(count);
  for (let start = 0; start < count; start += PANEL_ROWS) {
    const end = Math.min(start + PANEL_ROWS, count);
    for (let i = start; i < end; i++) {
      const row = i * length;
      lower.values.set(rest.values.subarray(row, row + i), i * count);
      const { beta, tau } = reflect(rest.values, row + i, length - i);
      lower.values[i * count + i] = beta;
      taus[i] = tau;
      reflections.values.set(rest.values.subarray(row + i, row + length), row + i);
      for (let j = i + 1; j < end; j++) {
        const place = j * length + i;
        const along = dot(rest.values, place, reflections.values, row + i, length - i);
        addMultiple(rest.values, place, -tau * along, reflections.values, row + i, length - i);
      }
    }
    const vectors = block(reflections, start, start, end - start);
    const triangle = reflectionTriangle(vectors, taus.subarray(start, end));
    triangles.push(triangle);
    if (end < count) applyReflections(block(rest, end, start), vectors, triangle, false);
  }
  const rows = matrix(count, length);
  for (let i = 0; i < count; i++) rows.values[i * length + i] = 1;
  for (let panel = triangles.length - 1; panel >= 0; panel--) {
    const start = panel * PANEL_ROWS;
    const vectors = block(reflections, start, start, Math.min(PANEL_ROWS, count - start));
    applyReflections(block(rows, start, start), vectors, triangles[panel]!, true);
  }
  return { lower, rows };
}
