// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Eigenvalues and eigenvectors of a symmetric tridiagonal matrix by divide and conquer: without its
 * middle element beside the diagonal the matrix falls into two, and putting the element back is a
 * change of rank one (Cuppen 1981; deflation as in Dongarra and Sorensen 1987).
 *
 * @module
 */

import { type Matrix, matrix } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { solveSecular } from "./secular.ts";
import { rotate } from "./vectors.ts";

/** Eigenvalues, ascending, and eigenvectors in the columns of a matrix. */
export interface AscendingEigen {
  /** `[n]`, ascending. */
  readonly values: Float64Array;
  /** `[n, n]`; column j belongs to value j. */
  readonly vectors: Matrix;
}

/** Solves the matrix with `diagonal` `[n]` and, beside it, the first n - 1 elements of `beside`. */
export function tridiagonalEigen(diagonal: Float64Array, beside: Float64Array): AscendingEigen {
  const size = diagonal.length;
  if (size <= 1) {
    return {
      values: diagonal.slice(),
      vectors: matrix(size, size, new Float64Array(size).fill(1)),
    };
  }
  const half = size >> 1;
  const coupling = beside[half - 1]!;
  const rho = Math.abs(coupling);
  // T = [T1 0; 0 T2] + rho u uᵀ with u = (0 ... 0 1, sign 0 ... 0).
  const first = diagonal.slice(0, half);
  const second = diagonal.slice(half);
  first[half - 1]! -= rho;
  second[0]! -= rho;
  const top = tridiagonalEigen(first, beside);
  const bottom = tridiagonalEigen(second, beside.subarray(half));
  return merge(top, bottom, rho, coupling < 0 ? -1 : 1);
}

/** Solves `diag(D1, D2) + rho z zᵀ` in the basis of the eigenvectors of the two halves. */
function merge(
  top: AscendingEigen,
  bottom: AscendingEigen,
  rho: number,
  sign: number,
): AscendingEigen {
  const half = top.values.length;
  const size = half + bottom.values.length;
  const values = new Float64Array(size);
  values.set(top.values);
  values.set(bottom.values, half);
  const basis = matrix(size, size);
  for (let i = 0; i < half; i++) {
    basis.values.set(top.vectors.values.subarray(i * half, (i + 1) * half), i * size);
  }
  const rest = size - half;
  for (let i = 0; i < rest; i++) {
    const row = bottom.vectors.values.subarray(i * rest, (i + 1) * rest);
    basis.values.set(row, (half + i) * size + half);
  }
  // z has norm 1; its factor goes to rho.
  const z = new Float64Array(size);
  for (let j = 0; j < half; j++) z[j] = basis.values[(half - 1) * size + j]! / Math.SQRT2;
  for (let j = half; j < size; j++) z[j] = sign * basis.values[half * size + j]! / Math.SQRT2;
  const { kept, settled } = deflate(values, z, basis, 2 * rho);
  const places = Uint32Array.from(kept);
  const { values: roots, vectors } = solveSecular(
    Float64Array.from(places, (place) => values[place]!),
    Float64Array.from(places, (place) => z[place]!),
    2 * rho,
  );
  const rotated = multiply(columnsOf(basis, kept), vectors);
  return sorted(
    { values: roots, vectors: rotated },
    { values: Float64Array.from(settled, (place) => values[place]!), vectors: basis, settled },
  );
}

/**
 * Finds the eigenvalues that the change of rank one does not move: where z is negligible, and where
 * two poles are so close that a rotation makes one of their z negligible. Both change the matrix by
 * less than rounding does.
 */
function deflate(
  values: Float64Array,
  z: Float64Array,
  basis: Matrix,
  rho: number,
): { kept: number[]; settled: number[] } {
  const size = values.length;
  const largest = (numbers: Float64Array) =>
    numbers.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const tolerance = 8 * Number.EPSILON * Math.max(largest(values), largest(z));
  const order = Array.from(values.keys()).sort((a, b) => values[a]! - values[b]!);
  const kept: number[] = [];
  const settled: number[] = [];
  for (const place of order) {
    if (rho * Math.abs(z[place]!) <= tolerance) {
      settled.push(place);
      continue;
    }
    const previous = kept.at(-1);
    if (previous !== undefined) {
      const norm = Math.hypot(z[place]!, z[previous]!);
      const [c, s] = [z[place]! / norm, z[previous]! / norm];
      const [low, high] = [values[previous]!, values[place]!];
      if (Math.abs((high - low) * c * s) <= tolerance) {
        z[place] = norm;
        z[previous] = 0;
        values[previous] = low * c * c + high * s * s;
        values[place] = low * s * s + high * c * c;
        rotate(basis.values, previous, place, c, s, size, size);
        kept.pop();
        settled.push(previous);
      }
    }
    kept.push(place);
  }
  return { kept, settled };
}

/** Columns of a matrix, side by side. */
function columnsOf({ rows, columns, values }: Matrix, chosen: readonly number[]): Matrix {
  const result = matrix(rows, chosen.length);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < chosen.length; j++) {
      result.values[i * chosen.length + j] = values[i * columns + chosen[j]!]!;
    }
  }
  return result;
}

/** Moved and settled eigenvalues in one ascending order, with their vectors. */
function sorted(
  moved: AscendingEigen,
  { values, vectors, settled }: AscendingEigen & { settled: readonly number[] },
): AscendingEigen {
  const size = vectors.rows;
  const entries = [
    ...Array.from(moved.values, (value, column) => ({ value, column, from: moved.vectors })),
    ...Array.from(values, (value, i) => ({ value, column: settled[i]!, from: vectors })),
  ].sort((a, b) => a.value - b.value);
  const result = matrix(size, size);
  entries.forEach(({ column, from }, j) => {
    for (let i = 0; i < size; i++) {
      result.values[i * size + j] = from.values[i * from.columns + column]!;
    }
  });
  return { values: Float64Array.from(entries, ({ value }) => value), vectors: result };
}
