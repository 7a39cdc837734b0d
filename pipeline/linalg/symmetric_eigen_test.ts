// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { type Matrix, matrix } from "./matrix.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import {
  assertNear,
  assertNumbersNear,
  assertOrthonormalColumns,
  fill,
  flip,
  gaussian,
  hilbert,
  plainProduct,
  scaleColumns,
  withEigenvalues,
} from "./testing/matrices.ts";

/** Checks order, orthogonality and `A V = V diag(values)`; returns the eigenvalues. */
function checkedEigenvalues(source: Matrix): Float64Array {
  const { values, vectors } = symmetricEigen(source);
  values.forEach((value, i) => assert(i === 0 || value <= values[i - 1]!, `${i}`));
  assertOrthonormalColumns(vectors);
  const norm = Math.max(1, source.rows) * Math.max(0, ...source.values.map(Math.abs));
  assertNear(
    plainProduct(source, vectors),
    scaleColumns(vectors, values),
    8 * Number.EPSILON * norm,
  );
  return values;
}

function symmetric(size: number, seed: number): Matrix {
  const random = gaussian(size, size, seed);
  return fill(size, size, (i, j) => random.values[i * size + j]! + random.values[j * size + i]!);
}

Deno.test("random matrices of all sizes around a panel", () => {
  for (const size of [0, 1, 2, 3, 31, 32, 33, 34, 64, 97, 200]) {
    checkedEigenvalues(symmetric(size, size));
  }
});

Deno.test("only the upper triangle decides", () => {
  const source = symmetric(40, 1);
  const dirty = fill(40, 40, (i, j) => j < i ? 7 : source.values[i * 40 + j]!);
  assertNumbersNear(symmetricEigen(dirty).values, symmetricEigen(source).values, 0);
});

Deno.test("closed form: the second difference", () => {
  const size = 150;
  const source = fill(size, size, (i, j) => i === j ? 2 : Math.abs(i - j) === 1 ? -1 : 0);
  const expected = Array.from(
    { length: size },
    (_, k) => 2 + 2 * Math.cos((k + 1) * Math.PI / (size + 1)),
  );
  assertNumbersNear(checkedEigenvalues(source), expected, 1e-14);
});

Deno.test("closed form: one, many and all eigenvalues equal", () => {
  assertNumbersNear(checkedEigenvalues(matrix(50, 50)), new Float64Array(50), 0);
  const ones = checkedEigenvalues(fill(60, 60, () => 1));
  assertNumbersNear(ones, Array.from({ length: 60 }, (_, i) => i === 0 ? 60 : 0), 1e-13);
  const steps = checkedEigenvalues(withEigenvalues(120, (index) => Math.floor(index / 40) - 1));
  const expected = Array.from({ length: 120 }, (_, i) => 1 - Math.floor(i / 40));
  assertNumbersNear(steps, expected, 1e-13);
  assertNumbersNear(
    checkedEigenvalues(withEigenvalues(70, () => -3)),
    new Float64Array(70).fill(-3),
    1e-13,
  );
});

Deno.test("gaps of 1e-3, as errors of quantization have", () => {
  const expected = Array.from({ length: 160 }, (_, i) => 1 - 1e-3 * i);
  assertNumbersNear(
    checkedEigenvalues(withEigenvalues(160, (i) => expected[i]!)),
    expected,
    1e-13,
  );
});

Deno.test("pairs that agree to the last bits: Wilkinson's matrix", () => {
  const values = checkedEigenvalues(
    fill(21, 21, (i, j) => i === j ? Math.abs(i - 10) : Math.abs(i - j) === 1 ? 1 : 0),
  );
  // Wilkinson 1965, "The algebraic eigenvalue problem", section 5.45.
  assert(Math.abs(values[0]! - 10.746194182903393) < 1e-14);
  assert(Math.abs(values[1]! - 10.746194182903322) < 1e-14);
});

Deno.test("ill-conditioned, huge and tiny matrices", () => {
  const values = checkedEigenvalues(hilbert(30));
  assert(values[29]! > -1e-15 && values[29]! < 1e-15);
  // The largest eigenvalue of Hilbert's matrix of 5 rows (Fettis and Caslin 1967).
  assert(Math.abs(checkedEigenvalues(hilbert(5))[0]! - 1.5670506910982311) < 1e-14);
  for (const scale of [2 ** 1000, 2 ** -1000]) {
    const source = symmetric(40, 5);
    const scaled = matrix(40, 40, source.values.map((value) => value * scale));
    const expected = symmetricEigen(source);
    const { values, vectors } = symmetricEigen(scaled);
    assertNumbersNear(values.map((value) => value / scale), expected.values, 1e-13);
    assertOrthonormalColumns(vectors);
  }
});

Deno.test("what is not square or not finite is refused", () => {
  assert.throws(() => symmetricEigen(matrix(2, 3)), /not square/);
  assert.throws(
    () => symmetricEigen(matrix(2, 2, Float64Array.of(1, NaN, NaN, 1))),
    /Element \(0, 1\) of a matrix \[2, 2\] is NaN/,
  );
});

Deno.test("eigenvectors belong to their eigenvalues", () => {
  // A = v vᵀ + 2 w wᵀ with orthogonal v and w.
  const v = fill(9, 1, () => 1 / 3);
  const w = fill(9, 1, (i) => i === 0 ? Math.SQRT1_2 : i === 1 ? -Math.SQRT1_2 : 0);
  const both = [plainProduct(v, flip(v)), plainProduct(w, flip(w))] as const;
  const source = fill(
    9,
    9,
    (i, j) => both[0].values[i * 9 + j]! + 2 * both[1].values[i * 9 + j]!,
  );
  const { vectors } = symmetricEigen(source);
  const column = (j: number) =>
    Float64Array.from({ length: 9 }, (_, i) => vectors.values[i * 9 + j]!);
  const along = (j: number, x: Matrix) =>
    Math.abs(column(j).reduce((sum, value, i) => sum + value * x.values[i]!, 0));
  assert(Math.abs(along(0, w) - 1) < 1e-14 && Math.abs(along(1, v) - 1) < 1e-14);
});
