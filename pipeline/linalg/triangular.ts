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

import { type Block, block, copyBlock, identity, type Matrix } from "./matrix.ts";
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
const SMALL = 24;

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
  const size = triangle.rows;
  if (triangle.columns !== size || (side === "left" ? right.rows : right.columns) !== size) {
    throw new RangeError(
      `A triangle [${size}, ${triangle.columns}] on the ${side} does not fit a right-hand side ` +
        `[${right.rows}, ${right.columns}].`,
    );
  }
  const whole = block(triangle);
  for (let i = 0; i < size; i++) {
    const pivot = whole.values[whole.offset + i * (whole.stride + 1)]!;
    if (pivot === 0 || !Number.isFinite(pivot)) {
      throw new RangeError(`Element ${i} of the diagonal of a triangular matrix is ${pivot}.`);
    }
  }
  solve(whole, block(right), upper, transpose, side === "left");
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
  return solveTriangular(triangle, identity(triangle.rows), options);
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

function solveSmall(
  triangle: Block,
  right: Block,
  upper: boolean,
  transpose: boolean,
  left: boolean,
): void {
  const size = triangle.rows;
  const { values, offset } = right;
  // Unknown i is a row on the left side, a column on the right side.
  const [step, along, count] = left
    ? [right.stride, 1, right.columns]
    : [1, right.stride, right.rows];
  const [rowStep, columnStep] = transpose === left ? [1, triangle.stride] : [triangle.stride, 1];
  const ascending = (upper === transpose) === left;
  for (let turn = 0; turn < size; turn++) {
    const i = ascending ? turn : size - 1 - turn;
    const target = offset + i * step;
    for (let other = 0; other < turn; other++) {
      const k = ascending ? other : size - 1 - other;
      const factor = triangle.values[triangle.offset + i * rowStep + k * columnStep]!;
      const source = offset + k * step;
      for (let j = 0; j < count * along; j += along) {
        values[target + j]! -= factor * values[source + j]!;
      }
    }
    const pivot = triangle.values[triangle.offset + i * (triangle.stride + 1)]!;
    for (let j = 0; j < count * along; j += along) values[target + j]! /= pivot;
  }
}
