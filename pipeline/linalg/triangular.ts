// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Systems of equations with triangular matrices, and their inverses.
 *
 * Everything halves the triangle until it is small, so that nearly all of the work is in products:
 *
 *     [T11  0 ] [X1]   [B1]        X1 = T11⁻¹ B1,
 *     [T21 T22] [X2] = [B2]        X2 = T22⁻¹ (B2 - T21 X1).
 *
 * @module
 */

import { type Block, block, copyBlock, identity, type Matrix, matrix } from "./matrix.ts";
import { multiplyInto } from "./multiply.ts";

/** Which triangle a matrix is, and where it stands in the equation. */
export interface TriangularOptions {
  /** The triangle on and above the diagonal is used instead of the one on and below. */
  readonly upper?: boolean;
  /** The triangle is used transposed. */
  readonly transpose?: boolean;
  /** `left` solves `T X = B`, `right` solves `X T = B`; default left. */
  readonly side?: "left" | "right";
}

/** Triangles up to this size are solved without products. */
const SMALL = 16;

/**
 * Solves `T X = B` or `X T = B` for X, where only one triangle of T is looked at.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { solveTriangular } from "./triangular.ts";
 *
 * const lower = matrix(2, 2, Float64Array.of(2, 0, 1, 4));
 * const x = solveTriangular(lower, matrix(2, 1, Float64Array.of(2, 9)));
 * assert.deepEqual([...x.values], [1, 2]);
 * ```
 *
 * @throws {RangeError} if sizes do not agree or an element of the diagonal is 0 or not finite.
 */
export function solveTriangular(
  triangle: Matrix | Block,
  right: Matrix | Block,
  options: TriangularOptions = {},
): Matrix {
  const solution = copyBlock(right);
  solveTriangularInPlace(triangle, solution, options);
  return solution;
}

/** {@linkcode solveTriangular} with the solution in the place of the right-hand side. */
export function solveTriangularInPlace(
  triangle: Matrix | Block,
  right: Matrix | Block,
  options: TriangularOptions = {},
): void {
  const { upper = false, transpose = false, side = "left" } = options;
  checkTriangle(triangle);
  const size = triangle.rows;
  if ((side === "left" ? right.rows : right.columns) !== size) {
    throw new RangeError(
      `A triangle [${size}, ${size}] on the ${side} does not fit a right-hand side ` +
        `[${right.rows}, ${right.columns}].`,
    );
  }
  solve(block(triangle), block(right), upper, transpose, side === "left");
}

/**
 * The inverse of a triangular matrix; zeros in its other triangle.
 *
 * @throws {RangeError} if the matrix is not square or an element of the diagonal is 0 or not finite.
 */
export function invertTriangular(
  triangle: Matrix | Block,
  options: { readonly upper?: boolean } = {},
): Matrix {
  const { upper = false } = options;
  checkTriangle(triangle);
  const inverse = matrix(triangle.rows, triangle.columns);
  copyTriangle(inverse, triangle, upper);
  invert(block(inverse), upper);
  return inverse;
}

/** Inverts in place: `T21` becomes `-T22⁻¹ T21 T11⁻¹`. */
function invert(triangle: Block, upper: boolean): void {
  const size = triangle.rows;
  if (size <= SMALL) {
    const inverse = identity(size);
    solveSmall(triangle, block(inverse), upper, false, true);
    copyTriangle(triangle, inverse, upper);
    return;
  }
  const half = size >> 1;
  const first = block(triangle, 0, 0, half, half);
  const second = block(triangle, half, half);
  const square = upper
    ? block(triangle, 0, half, half, size - half)
    : block(triangle, half, 0, size - half, half);
  solve(upper ? first : second, square, upper, false, true);
  solve(upper ? second : first, square, upper, false, false);
  negate(square);
  invert(first, upper);
  invert(second, upper);
}

function copyTriangle(target: Matrix | Block, source: Matrix | Block, upper: boolean): void {
  const to = block(target);
  const from = block(source);
  for (let i = 0; i < from.rows; i++) {
    const [first, end] = upper ? [i, from.rows] : [0, i + 1];
    const row = from.offset + i * from.stride;
    to.values.set(from.values.subarray(row + first, row + end), to.offset + i * to.stride + first);
  }
}

function negate({ rows, columns, values, offset, stride }: Block): void {
  for (let i = 0; i < rows; i++) {
    const row = offset + i * stride;
    for (let j = row; j < row + columns; j++) values[j] = -values[j]!;
  }
}

/** Refuses what has no inverse. */
function checkTriangle(triangle: Matrix | Block): void {
  const { rows, columns, values, offset, stride } = block(triangle);
  if (rows !== columns) throw new RangeError(`A triangle [${rows}, ${columns}] is not square.`);
  for (let i = 0; i < rows; i++) {
    const pivot = values[offset + i * (stride + 1)]!;
    if (pivot === 0 || !Number.isFinite(pivot)) {
      throw new RangeError(`Element ${i} of the diagonal of a triangular matrix is ${pivot}.`);
    }
  }
}

function solve(
  triangle: Block,
  right: Block,
  upper: boolean,
  transpose: boolean,
  left: boolean,
): void {
  const size = triangle.rows;
  if (size <= SMALL) {
    solveSmall(triangle, right, upper, transpose, left);
    return;
  }
  const half = size >> 1;
  const rest = size - half;
  const parts = [
    {
      triangle: block(triangle, 0, 0, half, half),
      right: left ? block(right, 0, 0, half) : block(right, 0, 0, right.rows, half),
    },
    {
      triangle: block(triangle, half, half),
      right: left ? block(right, half) : block(right, 0, half),
    },
  ] as const;
  const square = upper
    ? block(triangle, 0, half, half, rest)
    : block(triangle, half, 0, rest, half);
  // The unknowns that depend on no others come first: the upper ones of T X = B with T lower.
  const [first, second] = (upper === transpose) === left ? parts : [parts[1], parts[0]];
  solve(first.triangle, first.right, upper, transpose, left);
  if (left) {
    const options = { transposeLeft: transpose, scale: -1, accumulate: true };
    multiplyInto(second.right, square, first.right, options);
  } else {
    const options = { transposeRight: transpose, scale: -1, accumulate: true };
    multiplyInto(second.right, first.right, square, options);
  }
  solve(second.triangle, second.right, upper, transpose, left);
}

/** Substitution: row by row of the unknowns on the left, within every row on the right. */
function solveSmall(
  triangle: Block,
  right: Block,
  upper: boolean,
  transpose: boolean,
  left: boolean,
): void {
  const size = triangle.rows;
  const { values } = right;
  const ascending = (upper === transpose) === left;
  const order = Array.from({ length: size }, (_, turn) => ascending ? turn : size - 1 - turn);
  // How unknown i depends on unknown k, at [i, k].
  const [iStride, kStride] = transpose === left ? [1, triangle.stride] : [triangle.stride, 1];
  const factors = new Float64Array(size * size);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      factors[i * size + k] = triangle.values[triangle.offset + i * iStride + k * kStride]!;
    }
  }
  if (left) {
    for (let turn = 0; turn < size; turn++) {
      const i = order[turn]!;
      const target = right.offset + i * right.stride;
      for (let other = 0; other < turn; other++) {
        const k = order[other]!;
        const factor = factors[i * size + k]!;
        const source = right.offset + k * right.stride;
        for (let j = 0; j < right.columns; j++) values[target + j]! -= factor * values[source + j]!;
      }
      const pivot = factors[i * size + i]!;
      for (let j = target; j < target + right.columns; j++) values[j]! /= pivot;
    }
    return;
  }
  for (let row = 0; row < right.rows; row++) {
    const place = right.offset + row * right.stride;
    for (let turn = 0; turn < size; turn++) {
      const i = order[turn]!;
      let sum = values[place + i]!;
      for (let other = 0; other < turn; other++) {
        const k = order[other]!;
        sum -= factors[i * size + k]! * values[place + k]!;
      }
      values[place + i] = sum / factors[i * size + i]!;
    }
  }
}
