// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { type Matrix, matrix } from "./matrix.ts";
import { svd } from "./svd.ts";
import {
  assertNear,
  assertNumbersNear,
  assertOrthonormalColumns,
  distance,
  fill,
  flip,
  gaussian,
  plainProduct,
  scaleColumns,
  withEigenvalues,
  withSingularValues,
} from "./testing/matrices.ts";
import { leadingEigenvectors, truncatedSvd } from "./truncated_svd.ts";

/** Large enough for Lanczos's method at the ranks below. */
const LARGE = 560;

/** Checks orthogonality and the equations of singular vectors; returns the singular values. */
function checkedSingularValues(source: Matrix, rank: number): Float64Array {
  const { u, singularValues, v } = truncatedSvd(source, rank);
  assert.deepEqual([u.rows, u.columns], [source.rows, rank]);
  assert.deepEqual([v.rows, v.columns], [source.columns, rank]);
  assertOrthonormalColumns(u);
  assertOrthonormalColumns(v);
  const tolerance = 1e-10 * (singularValues[0] ?? 0);
  assertNear(plainProduct(source, v), scaleColumns(u, singularValues), tolerance);
  assertNear(plainProduct(flip(source), u), scaleColumns(v, singularValues), tolerance);
  return singularValues;
}

function assertSpectrum(
  shape: readonly [number, number],
  rank: number,
  value: (i: number) => number,
) {
  const source = withSingularValues(...shape, value);
  const expected = Array.from({ length: rank }, (_, i) => value(i));
  const tolerance = 1e-13 * Math.max(1, expected[0]!);
  assertNumbersNear(checkedSingularValues(source, rank), expected, tolerance);
}

Deno.test("small matrices: every rank, every shape", () => {
  for (const [rows, columns] of [[1, 1], [1, 9], [9, 1], [12, 12], [8, 30], [30, 8]] as const) {
    const source = gaussian(rows, columns, 1);
    const all = svd(source).singularValues;
    for (let rank = 0; rank <= Math.min(rows, columns); rank++) {
      assertNumbersNear(checkedSingularValues(source, rank), all.subarray(0, rank), 0);
    }
  }
});

Deno.test("large: a nearly flat spectrum with gaps of 1e-3", () => {
  assertSpectrum([LARGE, LARGE], 24, (i) => 1 - 1e-3 * i);
});

Deno.test("large: falling spectra, wide and tall", () => {
  assertSpectrum([LARGE, LARGE + 90], 30, (i) => 0.8 ** i);
  assertSpectrum([LARGE + 50, LARGE], 30, (i) => 1 / (1 + i));
});

Deno.test("large: more equal singular values than a block has vectors", () => {
  assertSpectrum([LARGE, LARGE], 40, (i) => 3 / (1 + Math.floor(i / 32)));
  // Copies that the first block misses, and that rounding does not bring up either.
  assertSpectrum([LARGE, LARGE], 40, (i) => i < 64 ? 1 : i < 128 ? 0.7 : 0.2 - 1e-4 * i);
});

Deno.test("large: rank below the one that is asked for, zero, identity", () => {
  assertSpectrum([LARGE, LARGE], 24, (i) => i < 10 ? 5 - (i >> 2) : 0);
  assertSpectrum([LARGE, LARGE], 16, () => 0);
  const identity = fill(LARGE, LARGE, (i, j) => i === j ? 1 : 0);
  assertNumbersNear(checkedSingularValues(identity, 30), new Float64Array(30).fill(1), 1e-14);
});

Deno.test("large: random matrices as the full decomposition has them, huge or not", () => {
  const source = gaussian(LARGE, LARGE, 2);
  const expected = svd(source).singularValues.subarray(0, 32);
  assertNumbersNear(checkedSingularValues(source, 32), expected, 1e-11);
  const scale = 2 ** 900;
  const huge = matrix(LARGE, LARGE, source.values.map((value) => value * scale));
  const { singularValues } = truncatedSvd(huge, 32);
  assertNumbersNear(singularValues.map((value) => value / scale), expected, 1e-11);
});

Deno.test("equal inputs give equal bits", () => {
  const source = gaussian(LARGE, LARGE, 3);
  assert.deepEqual(truncatedSvd(source, 20), truncatedSvd(source, 20));
});

Deno.test("the truncation is the best approximation: its error is the tail", () => {
  const source = gaussian(40, 50, 4);
  const { u, singularValues, v } = truncatedSvd(source, 15);
  const all = svd(source).singularValues;
  const rest = plainProduct(scaleColumns(u, singularValues), flip(v));
  const error = source.values.reduce((sum, x, i) => sum + (x - rest.values[i]!) ** 2, 0);
  const tail = all.subarray(15).reduce((sum, x) => sum + x * x, 0);
  assert(Math.abs(error / tail - 1) < 1e-12);
});

Deno.test("leading eigenvectors of a matrix and of an operator", () => {
  for (const size of [30, LARGE]) {
    const value = (i: number) => 2 - 1e-3 * i;
    const source = withEigenvalues(size, value);
    const operator = { size, apply: (x: Matrix) => plainProduct(x, source) };
    for (const subject of [source, operator]) {
      const { values, vectors } = leadingEigenvectors(subject, 12);
      assertNumbersNear(values, Array.from({ length: 12 }, (_, i) => value(i)), 1e-12);
      assertOrthonormalColumns(vectors);
      assertNear(plainProduct(source, vectors), scaleColumns(vectors, values), 1e-10);
    }
  }
});

Deno.test("singular operators: eigenvalues of zero have eigenvectors too", () => {
  const factor = gaussian(LARGE, 5, 6);
  const source = plainProduct(factor, flip(factor));
  const { values, vectors } = leadingEigenvectors(source, 9);
  assertOrthonormalColumns(vectors);
  const residual = distance(plainProduct(source, vectors), scaleColumns(vectors, values));
  assert(residual < 1e-10 * values[0]!, `${residual}`);
  values.forEach((value, i) => assert(i < 5 ? value > 1 : value < 1e-10, `${i}: ${value}`));
});

Deno.test("ranks that do not exist and numbers that are none are refused", () => {
  const source = gaussian(4, 6, 7);
  for (const rank of [-1, 5, 1.5, NaN]) {
    assert.throws(() => truncatedSvd(source, rank), /is not a whole number from 0 to 4/);
  }
  assert.throws(() => leadingEigenvectors(source, 2), /not square/);
  assert.throws(() => leadingEigenvectors(matrix(3, 3), 4), RangeError);
  const broken = gaussian(LARGE, LARGE, 8);
  broken.values[LARGE + 3] = NaN;
  assert.throws(() => truncatedSvd(broken, 8), /Element \(1, 3\) .* is NaN/);
  assert.throws(() => leadingEigenvectors(broken, 8), RangeError);
});
