// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { block, copy, type Matrix, matrix } from "./matrix.ts";
import { orthonormalize } from "./orthonormal.ts";
import {
  assertNear,
  assertOrthonormalColumns,
  distance,
  fill,
  flip,
  gaussian,
  plainProduct,
  withSingularValues,
} from "./testing/matrices.ts";

const LENGTH = 50;

/** The first `count` rows of an orthogonal matrix. */
function orthonormalRows(count: number): Matrix {
  const { values } = withSingularValues(LENGTH, LENGTH, () => 1);
  return matrix(count, LENGTH, values.slice(0, count * LENGTH));
}

/** Orthonormalizes, and checks orthogonality and that the composition gives the rows back. */
function checkedTriangle(source: Matrix, basis: Matrix): Matrix {
  const rows = copy(source);
  const { along, triangle } = orthonormalize(block(rows), block(basis));
  const together = matrix(
    basis.rows + rows.rows,
    LENGTH,
    Float64Array.of(...basis.values, ...rows.values),
  );
  assertOrthonormalColumns(flip(together));
  const parts = [plainProduct(along, basis), plainProduct(triangle, rows)] as const;
  const sum = matrix(
    source.rows,
    LENGTH,
    parts[0].values.map((value, i) => value + parts[1].values[i]!),
  );
  const largest = Math.max(...source.values.map(Math.abs));
  assert(distance(sum, source) <= 32 * Number.EPSILON * largest, `${distance(sum, source)}`);
  return triangle;
}

Deno.test("rows become orthonormal, and what they were made of is told", () => {
  for (const [count, before] of [[1, 0], [8, 0], [8, 20], [LENGTH - 20, 20]] as const) {
    const triangle = checkedTriangle(gaussian(count, LENGTH, 1), orthonormalRows(before));
    for (let i = 0; i < count; i++) {
      assert(triangle.values[i * (count + 1)]! > 0);
      for (let j = i + 1; j < count; j++) assert.equal(triangle.values[i * count + j], 0);
    }
  }
});

Deno.test("rows that nearly depend on others stay orthogonal to the last bits", () => {
  const first = gaussian(1, LENGTH, 2).values;
  const noise = gaussian(6, LENGTH, 3).values;
  const source = fill(6, LENGTH, (i, j) => first[j]! + 10 ** (-2 * i) * noise[i * LENGTH + j]!);
  checkedTriangle(source, orthonormalRows(10));
});

Deno.test("rows that depend on others become fresh directions with a zero in the triangle", () => {
  const source = gaussian(5, LENGTH, 4);
  source.values.fill(0, LENGTH, 2 * LENGTH);
  source.values.copyWithin(3 * LENGTH, 2 * LENGTH, 3 * LENGTH);
  source.values.set(orthonormalRows(3).values.subarray(2 * LENGTH), 4 * LENGTH);
  const triangle = checkedTriangle(source, orthonormalRows(10));
  const diagonal = Array.from({ length: 5 }, (_, i) => triangle.values[6 * i]! > 0);
  assert.deepEqual(diagonal, [true, false, true, false, false]);
});

Deno.test("the last directions of a full space are found", () => {
  checkedTriangle(matrix(2, LENGTH), orthonormalRows(LENGTH - 2));
  assert.throws(() => checkedTriangle(matrix(3, LENGTH), orthonormalRows(LENGTH - 2)), RangeError);
});

Deno.test("signs and lengths: a row along one axis", () => {
  const rows = fill(1, LENGTH, (_, j) => j === 7 ? -2 : 0);
  const { triangle } = orthonormalize(block(rows), block(matrix(0, LENGTH)));
  assert.deepEqual([...triangle.values], [2]);
  assertNear(rows, fill(1, LENGTH, (_, j) => j === 7 ? -1 : 0), 0);
});
