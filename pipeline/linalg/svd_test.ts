// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { type Matrix, matrix } from "./matrix.ts";
import { svd } from "./svd.ts";
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
  withSingularValues,
} from "./testing/matrices.ts";

/** Checks order, orthogonality and reconstruction; returns the singular values. */
function checkedSingularValues(source: Matrix): Float64Array {
  const { u, singularValues, v } = svd(source);
  singularValues.forEach((value, i) => {
    assert(value >= 0 && (i === 0 || value <= singularValues[i - 1]!), `${i}`);
  });
  assertOrthonormalColumns(u);
  assertOrthonormalColumns(v);
  const size = Math.max(1, source.rows, source.columns);
  const bound = 8 * Number.EPSILON * size * Math.max(0, ...source.values.map(Math.abs));
  assertNear(plainProduct(scaleColumns(u, singularValues), flip(v)), source, bound);
  return singularValues;
}

Deno.test("random matrices of all shapes", () => {
  for (
    const [rows, columns] of [[0, 0], [0, 3], [1, 1], [1, 7], [7, 1], [2, 2], [33, 33], [20, 90], [
      90,
      20,
    ], [70, 64]] as const
  ) {
    checkedSingularValues(gaussian(rows, columns, rows + columns));
  }
});

Deno.test("given singular values come back", () => {
  const spectra: Record<string, (index: number) => number> = {
    flat: (i) => 1 - 1e-3 * i,
    "all equal": () => 2,
    "equal in tens": (i) => 10 - Math.floor(i / 10),
    "falling by halves": (i) => 2 ** -i,
    "of low rank": (i) => i < 7 ? 7 - i : 0,
    "negative diagonal": (i) => -80 + i,
    zero: () => 0,
  };
  for (const [name, value] of Object.entries(spectra)) {
    for (const [rows, columns] of [[60, 60], [60, 75], [81, 60]] as const) {
      const expected = Float64Array.from({ length: 60 }, (_, i) => Math.abs(value(i)))
        .sort().reverse();
      const values = checkedSingularValues(withSingularValues(rows, columns, value));
      const error = Math.max(...values.map((x, i) => Math.abs(x - expected[i]!)));
      assert(error <= 60 * Number.EPSILON * expected[0]!, `${name}: ${error}`);
    }
  }
});

Deno.test("small singular values are not blurred by squaring", () => {
  // Columns of very different lengths, orthogonal: each length is a singular value to all digits.
  const lengths = [1, 1e-4, 1e-8, 1e-12];
  const signs = [[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]];
  const source = fill(4, 4, (i, j) => signs[j]![i]! / 2 * lengths[j]!);
  checkedSingularValues(source).forEach((value, i) => {
    assert(Math.abs(value / lengths[i]! - 1) < 1e-12, `${value}`);
  });
  // cond(Hilbert 8) = 1.5257575538060041e10 (Higham, "Accuracy and Stability", table 28.1).
  const values = checkedSingularValues(hilbert(8));
  assert(Math.abs(values[0]! / values[7]! / 1.5257575538060041e10 - 1) < 1e-5);
});

Deno.test("huge and tiny elements neither overflow nor vanish", () => {
  const source = gaussian(20, 30, 9);
  const expected = svd(source).singularValues;
  for (const scale of [2 ** 1000, 2 ** -1000]) {
    const scaled = matrix(20, 30, source.values.map((value) => value * scale));
    const { u, singularValues } = svd(scaled);
    assertOrthonormalColumns(u);
    assertNumbersNear(singularValues.map((value) => value / scale), expected, 1e-13);
  }
});

Deno.test("what is not finite is refused", () => {
  assert.throws(() => svd(fill(3, 5, (i, j) => i === 2 && j === 4 ? -Infinity : 1)), {
    name: "RangeError",
    message: /Element \(\d, \d\) of a matrix \[\d, \d\] is -Infinity/,
  });
});
