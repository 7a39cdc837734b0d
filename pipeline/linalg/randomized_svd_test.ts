// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { matrix } from "./matrix.ts";
import { randomizedSvd } from "./randomized_svd.ts";
import {
  assertNear,
  assertNumbersNear,
  assertOrthonormalColumns,
  flip,
  gaussian,
  plainProduct,
  scaleColumns,
  withSingularValues,
} from "./testing/matrices.ts";

Deno.test("exact where the rank is that of the matrix", () => {
  for (const [rows, columns] of [[50, 80], [80, 50], [1, 9], [9, 1]] as const) {
    const rank = Math.min(4, rows, columns);
    const source = withSingularValues(rows, columns, (i) => i < rank ? 5 - i : 0);
    const { u, singularValues, v } = randomizedSvd(source, rank);
    assertOrthonormalColumns(u);
    assertOrthonormalColumns(v);
    assertNumbersNear(singularValues, Array.from({ length: rank }, (_, i) => 5 - i), 1e-13);
    assertNear(plainProduct(scaleColumns(u, singularValues), flip(v)), source, 1e-13);
  }
});

Deno.test("exact where all directions are asked for", () => {
  const source = withSingularValues(30, 40, (i) => 30 - i);
  const { singularValues } = randomizedSvd(source, 30, { powerIterations: 0 });
  assertNumbersNear(singularValues, Array.from({ length: 30 }, (_, i) => 30 - i), 1e-12);
});

Deno.test("singular values are never too large, and power iterations bring them up", () => {
  const value = (i: number) => 1 / (1 + i) ** 0.5;
  const source = withSingularValues(120, 100, value);
  let previous = Infinity;
  for (const powerIterations of [0, 1, 2, 4, 8]) {
    const { u, singularValues, v } = randomizedSvd(source, 10, { powerIterations });
    assertOrthonormalColumns(u);
    assertOrthonormalColumns(v);
    const errors = singularValues.map((x, i) => value(i) - x);
    assert(errors.every((error) => error > -1e-13));
    const error = Math.max(...errors);
    assert(error < previous, `${powerIterations}: ${error}`);
    previous = error;
  }
  assert(previous < 1e-4, `${previous}`);
});

Deno.test("the error is within the bound of Halko, Martinsson and Tropp on average", () => {
  // Theorem 10.6: E |A - QQᵀA| <= (1 + sqrt(k / (p - 1))) s_(k+1) + e sqrt(k + p) / p * tail.
  const value = (i: number) => 0.85 ** i;
  const source = withSingularValues(90, 90, value);
  const [rank, oversampling] = [10, 10];
  const tail = Math.sqrt(
    Array.from({ length: 80 }, (_, i) => value(10 + i) ** 2).reduce((a, b) => a + b),
  );
  const bound = (1 + Math.sqrt(rank / (oversampling - 1))) * value(rank) +
    Math.E * Math.sqrt(rank + oversampling) / oversampling * tail;
  let sum = 0;
  for (let seed = 0; seed < 10; seed++) {
    const { u } = randomizedSvd(source, rank + oversampling, {
      ...{ oversampling: 0, powerIterations: 0, seed },
    });
    const kept = plainProduct(u, plainProduct(flip(u), source));
    const rest = matrix(90, 90, source.values.map((x, i) => x - kept.values[i]!));
    // The Frobenius norm is an upper bound of the norm of the theorem.
    sum += Math.sqrt(rest.values.reduce((total, x) => total + x * x, 0));
  }
  assert(sum / 10 < bound, `${sum / 10} >= ${bound}`);
});

Deno.test("seeds decide: equal ones give equal bits, others do not", () => {
  const source = gaussian(60, 60, 2);
  const first = randomizedSvd(source, 5, { seed: 1 });
  assert.deepEqual(randomizedSvd(source, 5, { seed: 1 }), first);
  assert.notDeepEqual(randomizedSvd(source, 5, { seed: 2 }), first);
});

Deno.test("zero matrices have orthonormal vectors; bad numbers are refused", () => {
  const { u, singularValues, v } = randomizedSvd(matrix(20, 30), 3);
  assertNumbersNear(singularValues, [0, 0, 0], 0);
  assertOrthonormalColumns(u);
  assertOrthonormalColumns(v);
  assert.throws(() => randomizedSvd(matrix(2, 3), 3), /Rank 3 of a matrix \[2, 3\]/);
  assert.throws(() => randomizedSvd(matrix(2, 3), 1, { oversampling: -1 }), RangeError);
  assert.throws(() => randomizedSvd(matrix(1, 1, Float64Array.of(NaN)), 1), /is NaN/);
});
