// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { matrix } from "./matrix.ts";
import { lowerOrthogonal } from "./qr.ts";
import {
  assertNear,
  assertOrthonormalColumns,
  fill,
  flip,
  gaussian,
  plainProduct,
} from "./testing/matrices.ts";

Deno.test("a lower triangle times orthonormal rows is the matrix", () => {
  for (
    const [count, length] of [[0, 4], [1, 1], [1, 9], [31, 40], [32, 32], [33, 70], [100, 130]]
  ) {
    const source = gaussian(count!, length!, 1);
    const { lower, rows } = lowerOrthogonal(source);
    assertOrthonormalColumns(flip(rows));
    assertNear(plainProduct(lower, rows), source, 4 * length! * Number.EPSILON * 4);
    const above = fill(count!, count!, (i, j) => j > i ? lower.values[i * count! + j]! : 0);
    assert.deepEqual(above, matrix(count!, count!));
  }
});

Deno.test("closed form: the factor of 3-4-5 triangles", () => {
  const { lower } = lowerOrthogonal(matrix(2, 2, Float64Array.of(3, 4, 4, -3)));
  assertNear(
    fill(2, 2, (i, j) => Math.abs(lower.values[2 * i + j]!)),
    fill(2, 2, (i, j) => i === j ? 5 : 0),
    1e-15,
  );
});

Deno.test("rows that need hardly any reflection lose no digits", () => {
  const source = fill(20, 30, (i, j) => i === j ? 1 : 1e-9 * ((i * j) % 7));
  const { lower, rows } = lowerOrthogonal(source);
  assertOrthonormalColumns(flip(rows));
  assertNear(plainProduct(lower, rows), source, 1e-15);
});

Deno.test("rows are orthonormal whatever the rank is", () => {
  const one = fill(40, 60, (i, j) => (i + 1) * (j + 1));
  for (const source of [matrix(40, 60), one]) {
    const { lower, rows } = lowerOrthogonal(source);
    assertOrthonormalColumns(flip(rows));
    assertNear(plainProduct(lower, rows), source, 1e-9);
  }
});

Deno.test("more rows than they have elements are refused", () => {
  assert.throws(() => lowerOrthogonal(matrix(3, 2)), /3 rows of 2 elements/);
});
