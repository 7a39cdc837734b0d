// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { correlatedInputs, gramOf } from "../../tests/support/layer_inputs.ts";
import { RandomStream } from "../../kernels/random.ts";
import { fromFloat32, identity, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import { factorInverse } from "./gptq_hessian.ts";
import { divergence, type Objective } from "./output_divergence.ts";
import { allocateWidths, type AllocationOptions, groupSalience } from "./slim_llm_allocation.ts";

const [ROWS, COLUMNS, GROUP, TOKENS] = [24, 128, 16, 320];
const OBJECTIVES: readonly Objective[] = ["kl", "reverse-kl", "mse"];
const DEFAULTS: AllocationOptions = { objective: "kl", pairs: "paper", oneBit: "centered" };

function gaussian(count: number, seed: number, scale: number): Float32Array {
  const stream = new RandomStream(seed, "slim-llm test");
  return Float32Array.from({ length: count }, (_, index) => scale * stream.normal(index));
}

/**
 * A layer whose inputs `from` on, as many as `wide` groups have, are 100 times as large. A token has
 * inputs of one group only, so that the errors of groups do not mix.
 */
function layer(
  wide: number,
  from: number,
): { weights: Matrix; inputs: Matrix; salience: Float64Array } {
  const weights = fromFloat32(gaussian(ROWS * COLUMNS, 1, 0.002), ROWS, COLUMNS);
  const values = gaussian(TOKENS * COLUMNS, 2, 1);
  for (let index = 0; index < values.length; index++) {
    const column = index % COLUMNS;
    const group = Math.floor(column / GROUP);
    if (Math.floor(index / COLUMNS) % (COLUMNS / GROUP) !== group) values[index] = 0;
    else if (column >= from && column < from + wide * GROUP) values[index]! *= 100;
  }
  const { upper } = factorInverse(gramOf(values, COLUMNS), null, 0.01, "layer");
  return {
    weights,
    inputs: fromFloat32(values, TOKENS, COLUMNS),
    salience: groupSalience(weights, upper, GROUP),
  };
}

Deno.test("as many groups gain a bit as lose one; gainers are most salient, losers least", () => {
  for (const pairs of ["paper", "code"] as const) {
    for (const bits of [2, 3, 4]) {
      const { weights, inputs, salience } = layer(3, 32);
      const found = allocateWidths(weights, salience, inputs, bits, { ...DEFAULTS, pairs });
      const groups = Array.from(found.widths, (width, group) => ({ width, s: salience[group]! }));
      assert.equal(groups.reduce((sum, { width }) => sum + width, 0), bits * groups.length);
      assert.equal(groups.filter(({ width }) => width < bits).length, found.pairs);
      assert(found.pairs > 0);
      for (const left of groups) {
        for (const right of groups) assert(left.width <= right.width || left.s >= right.s);
      }
    }
  }
});

Deno.test("as many pairs are found as groups have inputs that are 100 times as large", () => {
  for (const objective of OBJECTIVES) {
    for (const wide of [1, 2, 3]) {
      const { weights, inputs, salience } = layer(wide, 48);
      const options = { ...DEFAULTS, objective };
      const { pairs, widths } = allocateWidths(weights, salience, inputs, 2, options);
      assert.equal(pairs, wide, objective);
      for (let group = 3; group < 3 + wide; group++) assert.equal(widths[group], 3);
    }
  }
});

Deno.test("the chosen number of pairs has the least loss of all, each from its definition", () => {
  const { weights, inputs, salience } = layer(2, 0);
  const { widths, losses } = allocateWidths(weights, salience, inputs, 2, DEFAULTS);
  assert.deepEqual([...losses.keys()], [0, 1, 2, 3, 4]);
  assert.equal(widths.filter((width) => width === 3).length, 2);
  assert.equal(Math.min(...losses.values()), losses.get(2));
  const code = allocateWidths(weights, salience, inputs, 2, { ...DEFAULTS, pairs: "code" });
  assert.deepEqual([...code.losses.keys()], [1, 2, 3]);
  for (const [pairs, loss] of code.losses) {
    assert(Math.abs(loss / losses.get(pairs)! - 1) < 1e-9);
  }
});

Deno.test("a larger input makes exactly its own group more salient, where inputs are independent", () => {
  const weights = fromFloat32(gaussian(ROWS * COLUMNS, 3, 1), ROWS, COLUMNS);
  const salienceWith = (scale: number) => {
    const gram = identity(COLUMNS);
    gram.values[37 * COLUMNS + 37] = scale ** 2;
    // Without damping, which is relative to the mean of the diagonal and so depends on every input.
    return groupSalience(weights, factorInverse(gram, null, 0, "layer").upper, GROUP);
  };
  const [before, after] = [salienceWith(1), salienceWith(3)];
  before.forEach((value, group) => {
    if (group === Math.floor(37 / GROUP)) assert(after[group]! > value);
    else assert(Math.abs(after[group]! / value - 1) < 1e-12);
  });
});

Deno.test("salience is the loss of Optimal Brain Surgeon with the columns before eliminated", () => {
  const gram = gramOf(correlatedInputs(8, 40, 1), 8);
  const { upper } = factorInverse(gram, null, 0, "layer");
  const weights = matrix(1, 8, Float64Array.from({ length: 8 }, () => 1));
  groupSalience(weights, upper, 1).forEach((salience, column) => {
    // 1 / [(H_{j:,j:})^-1]_00 is the Schur complement: what Gaussian elimination from the last column
    // up leaves of H_jj.
    const rest = gram.values.slice();
    for (let pivot = 7; pivot > column; pivot--) {
      for (let i = column; i < pivot; i++) {
        const factor = rest[i * 8 + pivot]! / rest[pivot * 8 + pivot]!;
        for (let j = column; j < pivot; j++) rest[i * 8 + j]! -= factor * rest[pivot * 8 + j]!;
      }
    }
    assert(Math.abs(salience / rest[column * 8 + column]! - 1) < 1e-9);
  });
});

Deno.test("outputs in another order get the same widths", () => {
  const { weights, inputs, salience } = layer(2, 16);
  const order = new RandomStream(5, "rows").permutation(ROWS);
  const permuted = matrix(ROWS, COLUMNS);
  order.forEach((row, place) => {
    permuted.values.set(
      weights.values.subarray(row * COLUMNS, (row + 1) * COLUMNS),
      place * COLUMNS,
    );
  });
  for (const objective of OBJECTIVES) {
    const options = { ...DEFAULTS, objective };
    assert.deepEqual(
      allocateWidths(permuted, salience, inputs, 3, options).widths,
      allocateWidths(weights, salience, inputs, 3, options).widths,
    );
  }
});

Deno.test("too few groups for a pair keep the mean", () => {
  const { weights, inputs } = layer(1, 0);
  const widthsOf = (groups: number, pairs: "paper" | "code") => {
    const salience = Float64Array.from({ length: groups }, (_, group) => group);
    return [...allocateWidths(weights, salience, inputs, 2, { ...DEFAULTS, pairs }).widths];
  };
  assert.deepEqual(widthsOf(1, "paper"), [2]);
  assert.deepEqual(widthsOf(1, "code"), [2]);
  assert.deepEqual(widthsOf(2, "code"), [2, 2]);
  // The released code's range is empty below four groups.
  assert.deepEqual(widthsOf(4, "code").toSorted(), [1, 2, 2, 3]);
});

Deno.test("a divergence is 0 for equal outputs and positive otherwise", () => {
  const { weights, inputs } = layer(0, 0);
  const outputs = multiply(inputs, weights, { transposeRight: true });
  for (const objective of OBJECTIVES) {
    const measure = divergence(outputs, objective);
    assert.equal(measure(outputs), 0);
    const moved = matrix(outputs.rows, outputs.columns, outputs.values.slice());
    moved.values[5]! += 0.1;
    assert(measure(moved) > 0);
  }
});

Deno.test("divergences have a direction", () => {
  const [truth, uniform] = [matrix(1, 2, Float64Array.of(0, Math.log(3))), matrix(1, 2)];
  // Of 1/4, 3/4 from 1/2, 1/2, and the other way round.
  const expected = {
    kl: Math.log(0.5) / 4 + 3 * Math.log(1.5) / 4,
    "reverse-kl": Math.log(2) / 2 + Math.log(2 / 3) / 2,
    mse: Math.log(3) ** 2 / 2,
  };
  for (const objective of ["kl", "reverse-kl", "mse"] as const) {
    const found = divergence(truth, objective)(uniform);
    assert(Math.abs(found - expected[objective]) < 1e-12, objective);
  }
});
