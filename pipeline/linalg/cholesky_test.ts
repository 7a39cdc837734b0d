// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { cholesky, choleskyInverse, NotPositiveDefiniteError } from "./cholesky.ts";
import { identity, matrix } from "./matrix.ts";
import {
  assertNear,
  fill,
  flip,
  gaussian,
  hilbert,
  plainProduct,
  withEigenvalues,
} from "./testing/matrices.ts";

Deno.test("closed form: min(i, j) is the square of the triangle of ones", () => {
  for (const size of [1, 2, 16, 17, 33, 200]) {
    const source = fill(size, size, (i, j) => Math.min(i, j) + 1);
    const lower = cholesky(source);
    assertNear(lower, fill(size, size, (i, j) => j <= i ? 1 : 0), 0);
    // Its inverse is the second difference, with a free end.
    const expected = fill(
      size,
      size,
      (i, j) => i === j ? (i === size - 1 ? 1 : 2) : Math.abs(i - j) === 1 ? -1 : 0,
    );
    assertNear(choleskyInverse(lower), expected, 1e-13);
  }
});

Deno.test("factors multiply to the matrix, inverses to the identity", () => {
  for (const size of [5, 60, 211]) {
    const source = withEigenvalues(size, (index) => 1 + index % 10);
    const dirty = fill(size, size, (i, j) => j > i ? NaN : source.values[i * size + j]!);
    const lower = cholesky(dirty);
    assertNear(plainProduct(lower, flip(lower)), source, size * 10 * Number.EPSILON);
    const inverse = choleskyInverse(lower);
    assertNear(plainProduct(inverse, source), identity(size), size * 100 * Number.EPSILON);
    assert.deepEqual(flip(inverse), inverse);
  }
});

Deno.test("ill-conditioned: Hilbert's matrix comes back from its factor", () => {
  const source = hilbert(12);
  const lower = cholesky(source);
  assertNear(plainProduct(lower, flip(lower)), source, 13 * Number.EPSILON);
});

Deno.test("what is not positive definite is refused with its pivot", () => {
  // D L Lᵀ with a negative diagonal element: the pivots are those of D.
  const lower = fill(50, 50, (i, j) => j === i ? 1 : j < i ? ((i + j) % 3 - 1) / 50 : 0);
  const source = plainProduct(
    fill(50, 50, (i, j) => lower.values[i * 50 + j]! * (j === 37 ? -3 : 2)),
    flip(lower),
  );
  assert.throws(() => cholesky(source), (error) => {
    assert(error instanceof NotPositiveDefiniteError && error instanceof UserError);
    assert.equal(error.pivot, 37);
    assert(Math.abs(error.value + 3) < 1e-10, `${error.value}`);
    assert.match(error.message, /\[50, 50\] is not positive definite: pivot 37 is -[23]\.?\d*, /);
    return true;
  });
});

Deno.test("singular matrices and numbers that are none are refused", () => {
  assert.throws(() => cholesky(matrix(4, 4)), { pivot: 0, value: 0 });
  assert.throws(() => cholesky(fill(40, 40, () => 4)), { pivot: 1, value: 0 });
  const definite = plainProduct(gaussian(40, 60, 1), flip(gaussian(40, 60, 1)));
  for (const [place, value] of [[39 * 40 + 2, NaN], [0, Infinity], [17 * 40 + 17, NaN]] as const) {
    const broken = matrix(40, 40, definite.values.slice());
    broken.values[place] = value;
    assert.throws(() => cholesky(broken), NotPositiveDefiniteError);
  }
  assert.throws(() => cholesky(matrix(2, 3)), RangeError);
});
