// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { block, identity, type Matrix, matrix } from "./matrix.ts";
import { assertNear, fill, flip, gaussian, plainProduct } from "./testing/matrices.ts";
import { invertTriangular, solveTriangular, solveTriangularInPlace } from "./triangular.ts";

const SIZES = [1, 2, 15, 16, 17, 70, 131];

/** A well-conditioned triangle, and the same with rubbish in the triangle that must not be read. */
function triangles(size: number, upper: boolean): { clean: Matrix; dirty: Matrix } {
  const random = gaussian(size, size, size);
  const element = (i: number, j: number, beyond: number) =>
    i === j
      ? 2 + Math.abs(random.values[i * size + j]!)
      : (j > i) === upper
      ? random.values[i * size + j]! / size
      : beyond;
  return {
    clean: fill(size, size, (i, j) => element(i, j, 0)),
    dirty: fill(size, size, (i, j) => element(i, j, NaN)),
  };
}

Deno.test("solutions of all eight kinds satisfy their equations", () => {
  for (const size of SIZES) {
    for (const upper of [false, true]) {
      const { clean, dirty } = triangles(size, upper);
      for (const transpose of [false, true]) {
        const factor = transpose ? flip(clean) : clean;
        const rows = gaussian(size, 9, 1);
        const left = solveTriangular(dirty, rows, { upper, transpose });
        assertNear(plainProduct(factor, left), rows, 1e-14 * size);
        const columns = gaussian(9, size, 2);
        const right = solveTriangular(dirty, columns, { upper, transpose, side: "right" });
        assertNear(plainProduct(right, factor), columns, 1e-14 * size);
      }
    }
  }
});

Deno.test("inverses multiply to the identity and stay triangular", () => {
  for (const size of SIZES) {
    for (const upper of [false, true]) {
      const { clean, dirty } = triangles(size, upper);
      const inverse = invertTriangular(dirty, { upper });
      assertNear(plainProduct(inverse, clean), identity(size), 1e-14 * size);
      const outside = fill(
        size,
        size,
        (i, j) => i !== j && (j > i) !== upper ? inverse.values[i * size + j]! : 0,
      );
      assert.deepEqual(outside, matrix(size, size));
    }
  }
});

Deno.test("closed form: the inverse of the triangle of ones", () => {
  const ones = fill(100, 100, (i, j) => j <= i ? 1 : 0);
  const expected = fill(100, 100, (i, j) => i === j ? 1 : i === j + 1 ? -1 : 0);
  assertNear(invertTriangular(ones), expected, 0);
});

Deno.test("systems are solved in place, inside larger matrices", () => {
  const { clean } = triangles(20, false);
  const whole = gaussian(30, 40, 3);
  const right = block(whole, 5, 6, 20, 8);
  const expected = solveTriangular(clean, right);
  solveTriangularInPlace(clean, right);
  assertNear(solveTriangular(identity(20), right), expected, 0);
  const outside = gaussian(30, 40, 3);
  assert.equal(whole.values[5 * 40 + 14], outside.values[5 * 40 + 14]);
  assert.equal(whole.values[25 * 40 + 6], outside.values[25 * 40 + 6]);
});

Deno.test("what has no solution is refused", () => {
  const { clean } = triangles(5, false);
  assert.throws(() => solveTriangular(clean, matrix(4, 2)), /does not fit/);
  assert.throws(() => solveTriangular(matrix(3, 4), matrix(3, 2)), /not square/);
  clean.values[3 * 5 + 3] = 0;
  assert.throws(() => invertTriangular(clean), /Element 3 of the diagonal .* is 0/);
  clean.values[3 * 5 + 3] = NaN;
  assert.throws(() => solveTriangular(clean, matrix(5, 2)), /Element 3 .* is NaN/);
});
