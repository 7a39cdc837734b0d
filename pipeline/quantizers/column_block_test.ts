// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { correlatedGram, heavyWeights, outputError } from "../../tests/support/correlated.ts";
import { fromFloat32, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import { compensate, type Compensation, roundBlock } from "./column_block.ts";
import { factorInverse } from "./gptq_hessian.ts";

const [ROWS, COLUMNS, WIDTH] = [6, 48, 16];
const GRAM = correlatedGram(COLUMNS, 100, 1);
const UPPER = factorInverse(GRAM, null, 0, "layer").upper;
const WEIGHTS = heavyWeights(ROWS * COLUMNS, 1);

const sign = (value: number) => value >= 0 ? 0.02 : -0.02;

/** Weights whose second block of columns was replaced by signs, and what became of the others. */
function replaced(compensation: Compensation | null): Matrix {
  const weights = fromFloat32(WEIGHTS, ROWS, COLUMNS);
  const quantized = matrix(ROWS, WIDTH);
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < WIDTH; column++) {
      quantized.values[row * WIDTH + column] = sign(WEIGHTS[row * COLUMNS + WIDTH + column]!);
    }
  }
  if (compensation !== null) compensate(weights, UPPER, WIDTH, quantized, compensation);
  for (let row = 0; row < ROWS; row++) {
    weights.values.set(
      quantized.values.subarray(row * WIDTH, (row + 1) * WIDTH),
      row * COLUMNS + WIDTH,
    );
  }
  return weights;
}

Deno.test("exact compensation is the least-squares optimum of the columns to the right", () => {
  const after = replaced("exact");
  const difference = matrix(ROWS, COLUMNS, after.values.map((value, i) => value - WEIGHTS[i]!));
  // The derivative of tr(D H D^T) / 2 is D H; it vanishes where columns were free to move.
  const slope = multiply(difference, GRAM).values;
  const largest = slope.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  slope.forEach((value, index) => {
    if (index % COLUMNS >= 2 * WIDTH) assert(Math.abs(value) < 1e-10 * largest, `${index}`);
  });
});

Deno.test("columns before the block stay; exact loses least", () => {
  const losses = ([null, "diagonal", "exact"] as const)
    .map((compensation) => {
      const { values } = replaced(compensation);
      for (let index = 0; index < values.length; index++) {
        if (index % COLUMNS < WIDTH) assert.equal(values[index], WEIGHTS[index]);
      }
      return outputError(values, WEIGHTS, GRAM);
    });
  assert(losses[2]! < losses[1]! && losses[2]! < losses[0]!, losses.join());
});

Deno.test("for one column both rules are the same", () => {
  const [exact, diagonal] = (["exact", "diagonal"] as const).map((compensation) => {
    const weights = fromFloat32(WEIGHTS, ROWS, COLUMNS);
    compensate(weights, UPPER, 5, matrix(ROWS, 1), compensation);
    return weights.values;
  });
  exact!.forEach((value, index) => assert(Math.abs(value - diagonal![index]!) < 1e-12));
});

Deno.test("rounding all blocks column by column: the squared errors are the loss of the outputs", () => {
  const weights = fromFloat32(WEIGHTS, ROWS, COLUMNS);
  const results = new Float64Array(ROWS * COLUMNS);
  let sum = 0;
  for (let start = 0; start < COLUMNS; start += WIDTH) {
    roundBlock(weights, UPPER, start, WIDTH, (value, row, column) => {
      const result = sign(value);
      results[row * COLUMNS + column] = result;
      sum += ((value - result) / UPPER.values[column * (COLUMNS + 1)]!) ** 2;
      return result;
    });
  }
  assert(Math.abs(sum / outputError(results, WEIGHTS, GRAM) - 1) < 1e-9);
});

Deno.test("rounding column by column leaves the columns to the right at their optimum, too", () => {
  const weights = fromFloat32(WEIGHTS, ROWS, COLUMNS);
  const quantized = matrix(ROWS, WIDTH);
  roundBlock(weights, UPPER, 0, WIDTH, (value, row, column) => {
    quantized.values[row * WIDTH + column] = sign(value);
    return sign(value);
  });
  const expected = fromFloat32(WEIGHTS, ROWS, COLUMNS);
  compensate(expected, UPPER, 0, quantized, "exact");
  for (let index = 0; index < weights.values.length; index++) {
    if (index % COLUMNS < WIDTH) continue;
    assert(Math.abs(weights.values[index]! - expected.values[index]!) < 1e-12);
  }
});
