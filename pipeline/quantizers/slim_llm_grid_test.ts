// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { block, type Matrix, matrix } from "../linalg/matrix.ts";
import type { Grid } from "./integer_grid.ts";
import { encodeWidth, fitRows, SCALE_FACTORS, searchScales } from "./slim_llm_grid.ts";
import { salientWeights } from "./slim_llm_salience.ts";

const [ROWS, COLUMNS] = [16, 64];

function weightsOf(seed: number): Matrix {
  const stream = new RandomStream(seed, "slim-llm grids");
  // Cubes of normals have heavy tails, so that clipping pays.
  return matrix(
    ROWS,
    COLUMNS,
    Float64Array.from({ length: ROWS * COLUMNS }, (_, index) => 0.02 * stream.normal(index) ** 3),
  );
}

function rowError(
  weights: Matrix,
  row: number,
  bits: number,
  grid: Grid,
  exponent: number,
  weightOf: (index: number) => number = () => 1,
): number {
  let error = 0;
  for (let index = row * COLUMNS; index < (row + 1) * COLUMNS; index++) {
    const value = weights.values[index]!;
    const rounded = grid.scale * (encodeWidth(value, grid, bits) - grid.zero);
    error += weightOf(index) * Math.abs(value - rounded) ** exponent;
  }
  return error;
}

Deno.test("101 factors, from 0.9 to 1.1, 1 first", () => {
  assert.equal(SCALE_FACTORS.length, 101);
  assert.equal(SCALE_FACTORS[0], 1);
  assert.deepEqual([Math.min(...SCALE_FACTORS), Math.max(...SCALE_FACTORS)], [0.9, 1.1]);
  assert.equal(new Set(SCALE_FACTORS).size, 101);
});

Deno.test("a found scale loses no more than the whole range, and the least of all factors", () => {
  const weights = weightsOf(1);
  for (const bits of [2, 3, 5]) {
    const grids = fitRows(block(weights), bits, "centered");
    const search = { exponent: 2.4, salientWeight: 3 };
    const salient = new Uint8Array(ROWS * COLUMNS).map((_, index) => index % 7 === 0 ? 1 : 0);
    const weightOf = (index: number) => salient[index] === 1 ? 3 : 1;
    let better = 0;
    searchScales(block(weights), bits, grids, salient, search).forEach((grid, row) => {
      const found = rowError(weights, row, bits, grid, 2.4, weightOf);
      const whole = rowError(weights, row, bits, grids[row]!, 2.4, weightOf);
      assert(found <= whole);
      if (found < whole) better++;
      for (const factor of SCALE_FACTORS) {
        const other = { ...grid, scale: Math.fround(factor * grids[row]!.scale) };
        assert(rowError(weights, row, bits, other, 2.4, weightOf) >= found);
      }
    });
    assert(better > 0);
  }
});

Deno.test("the zero does not depend on the factor", () => {
  const weights = weightsOf(2);
  for (const bits of [2, 3, 4]) {
    fitRows(block(weights), bits, "centered").forEach(({ zero }, row) => {
      const values = weights.values.subarray(row * COLUMNS, (row + 1) * COLUMNS);
      const [low, high] = [Math.min(...values), Math.max(...values)];
      for (const factor of SCALE_FACTORS) {
        const step = factor * (high - low) / (2 ** bits - 1);
        assert.equal(Math.round(-factor * low / step), zero);
      }
    });
  }
});

Deno.test("with a weight of 1 it does not matter which weights are salient; above 1 it does", () => {
  const weights = weightsOf(3);
  const grids = fitRows(block(weights), 2, "centered");
  const some = new Uint8Array(ROWS * COLUMNS).map((_, index) => index % 5 === 0 ? 1 : 0);
  const found = (salient: Uint8Array | null, salientWeight: number) =>
    searchScales(block(weights), 2, grids, salient, { exponent: 2.4, salientWeight });
  assert.deepEqual(found(some, 1), found(null, 1));
  assert.notDeepEqual(found(some, 10), found(null, 10));
});

Deno.test("a whole row at 8 bits loses less than 1 %", () => {
  const stream = new RandomStream(4, "slim-llm grids");
  const weights = matrix(
    ROWS,
    COLUMNS,
    new Float64Array(ROWS * COLUMNS).map((_, i) => stream.normal(i)),
  );
  const grids = fitRows(block(weights), 8, "centered");
  let error = 0;
  for (let row = 0; row < ROWS; row++) error += rowError(weights, row, 8, grids[row]!, 2);
  const norm = weights.values.reduce((sum, value) => sum + value ** 2, 0);
  assert(Math.sqrt(error / norm) < 1e-2);
});

Deno.test("one bit: two levels around the mean, and their rules", () => {
  const weights = matrix(1, 4, Float64Array.of(-1, 0, 2, 3));
  const levels = (rule: "centered" | "code" | "paper") => {
    const { scale, zero } = fitRows(block(weights), 1, rule)[0]!;
    return [scale * (0 - zero), scale * (1 - zero)].map((level) => Number(level.toFixed(6)));
  };
  // Mean 1, mean distance from it 1.5, mean magnitude 1.5.
  assert.deepEqual(levels("centered"), [-0.5, 2.5]);
  assert.deepEqual(levels("code"), [-0.5, 2.5]);
  assert.deepEqual(levels("paper"), [-1.5, 1.5]);
  const shifted = matrix(1, 4, Float64Array.of(1, 2, 4, 5));
  const levelsOf = (rule: "centered" | "code") => {
    const { scale, zero } = fitRows(block(shifted), 1, rule)[0]!;
    return [scale * (0 - zero), scale * (1 - zero)].map((level) => Number(level.toFixed(6)));
  };
  // Mean 3, mean distance from it 1.5, mean magnitude 3: the released code's levels are too far apart.
  assert.deepEqual(levelsOf("centered"), [1.5, 4.5]);
  assert.deepEqual(levelsOf("code"), [0, 6]);
});

Deno.test("one bit: the mean distance is the least-squares magnitude; groups stay as they are", () => {
  const weights = weightsOf(5);
  const grids = fitRows(block(weights), 1, "centered");
  grids.forEach((grid, row) => {
    const values = [...weights.values.subarray(row * COLUMNS, (row + 1) * COLUMNS)];
    const mean = values.reduce((sum, value) => sum + value, 0) / COLUMNS;
    const magnitude = values.reduce((sum, value) => sum + Math.abs(value - mean), 0) / COLUMNS;
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    const closedForm = square - COLUMNS * magnitude ** 2;
    assert(Math.abs(rowError(weights, row, 1, grid, 2) / closedForm - 1) < 1e-5);
    for (const factor of [0.9, 1.1]) {
      const scale = factor * grid.scale;
      const other = { scale, zero: 0.5 - mean / scale };
      assert(rowError(weights, row, 1, other, 2) > closedForm);
    }
  });
  assert.deepEqual(
    searchScales(block(weights), 1, grids, null, { exponent: 2, salientWeight: 1 }),
    grids,
  );
});

Deno.test("equal weights, 0 among them, are represented at one bit", () => {
  for (const value of [0, 0.25, -3]) {
    const weights = matrix(1, 8, new Float64Array(8).fill(value));
    for (const rule of ["centered", "paper"] as const) {
      const grid = fitRows(block(weights), 1, rule)[0]!;
      assert.equal(grid.scale * (encodeWidth(value, grid, 1) - grid.zero), value, rule);
    }
  }
});

Deno.test("salient weights: far above the mean in salience, or far from the mean themselves", () => {
  const weights = matrix(
    2,
    32,
    new Float64Array(64).map((_, index) => index % 2 === 0 ? 0.1 : -0.1),
  );
  weights.values[5] = 4;
  weights.values[40] = -4;
  const upper = matrix(40, 40, new Float64Array(1600).fill(1));
  const both = (rule: "salience" | "weights") =>
    [...salientWeights(block(weights), upper, 8, rule).entries()]
      .filter(([, flag]) => flag === 1).map(([index]) => index);
  assert.deepEqual(both("salience"), [5, 40]);
  assert.deepEqual(both("weights"), [5, 40]);
  // A small U_jj means an input that others cannot stand in for.
  upper.values[(8 + 7) * 41] = 0.01;
  assert.deepEqual(both("salience"), [7, 39]);
  assert.deepEqual(both("weights"), [5, 40]);
});

Deno.test("where no factor is better, the whole range stays", () => {
  const zeros = matrix(2, 8);
  const grids = fitRows(block(zeros), 2, "centered");
  const search = { exponent: 2, salientWeight: 1 };
  assert.deepEqual(searchScales(block(zeros), 2, grids, null, search), grids);
});
