import assert from "node:assert/strict";
import { heavyWeights, outputError } from "../../tests/support/correlated.ts";
import { calibrationOf, correlatedInputs } from "../../tests/support/layer_inputs.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost, weightBytes } from "../formats/host_weight.ts";
import type { HostMixedWeight } from "../formats/mixed_weight.ts";
import { formatBytes } from "../models/quantized_tensors.ts";
import { quantizerFor, quantizerSchema } from "./registry.ts";
import { slimLlm, type SlimLlmParameters } from "./slim_llm.ts";

const [ROWS, COLUMNS] = [20, 128];
const SAMPLE = correlatedInputs(COLUMNS, 3 * COLUMNS, 1);
const CALIBRATION = calibrationOf(SAMPLE, COLUMNS);
const WEIGHTS = heavyWeights(ROWS * COLUMNS, 1);

function parse(values: Record<string, unknown>): SlimLlmParameters {
  return quantizerSchema.parse({ method: "slim-llm", ...values }) as SlimLlmParameters;
}

function quantize(values: Record<string, unknown>, calibration = CALIBRATION): HostMixedWeight {
  const weight = slimLlm.quantize(WEIGHTS, ROWS, COLUMNS, parse(values), "layer", calibration);
  assert(weight.format === "mixed");
  return weight;
}

Deno.test("mean bits are exact, and bytes are codes, scales, zeros and tags", () => {
  for (const bits of [2, 3, 4] as const) {
    for (const group_size of [8, 32]) {
      const weight = quantize({ bits, group_size });
      const groups = COLUMNS / group_size;
      assert.equal(weight.widths.reduce((sum, width) => sum + width, 0), bits * groups);
      assert.equal(8 * weight.codes.length, bits * ROWS * COLUMNS);
      const bytes = ROWS * COLUMNS * bits / 8 + 8 * ROWS * groups + groups;
      assert.equal(weightBytes(weight), bytes);
      const parameters = parse({ bits, group_size });
      assert.equal(formatBytes(slimLlm.format(parameters), ROWS, COLUMNS), bytes);
      const stated = Number(/([\d.]+) bits per weight/.exec(slimLlm.describe(parameters))?.[1]);
      // All but the tags, which are a byte for a group of all rows.
      assert(Math.abs(8 * (bytes - groups) / (ROWS * COLUMNS) - stated) < 1e-3);
      assert.equal(slimLlm.parameterBits?.(weight, parameters), bits);
    }
  }
});

Deno.test("outputs lose less than with plain rounding, and less with more bits", () => {
  const loss = (method: string, bits: number) => {
    const parameters = quantizerSchema.parse({ method, bits, group_size: 16 });
    const weight = quantizerFor(parameters)
      .quantize(WEIGHTS, ROWS, COLUMNS, parameters, "layer", CALIBRATION);
    return outputError(dequantizeHost(weight), WEIGHTS, CALIBRATION.gram);
  };
  const losses = [2, 3, 4].map((bits) => loss("slim-llm", bits));
  [2, 3, 4].forEach((bits, index) => {
    assert((losses[index] as number) < loss("rtn", bits), `${bits} bits`);
  });
  assert.deepEqual(losses, losses.toSorted((a, b) => b - a));
});

Deno.test("groups with much larger inputs get more bits", () => {
  const sample = SAMPLE.map((value, index) => {
    const group = Math.floor(index % COLUMNS / 16);
    return group === 2 || group === 5 ? 30 * value : value;
  });
  const { widths } = quantize(
    { bits: 2, group_size: 16, objective: "mse" },
    calibrationOf(sample, COLUMNS),
  );
  assert.deepEqual([widths[2], widths[5]], [3, 3]);
});

Deno.test("one group: all of it has the mean number of bits", () => {
  assert.deepEqual([...quantize({ bits: 3, group_size: COLUMNS }).widths], [3]);
});

Deno.test("dead inputs move no grid and reach no output", () => {
  const sample = SAMPLE.map((value, index) => index % COLUMNS === 7 ? 0 : value);
  const weights = WEIGHTS.map((value, index) => index % COLUMNS === 7 ? 50 : value);
  const calibration = calibrationOf(sample, COLUMNS);
  const weight = slimLlm.quantize(weights, ROWS, COLUMNS, parse({}), "layer", calibration);
  assert(dequantizeHost(weight).every((value) => Math.abs(value) < 2));
});

Deno.test("a singular Gram matrix, fewer tokens than inputs, is quantized", () => {
  const sample = SAMPLE.slice(0, 10 * COLUMNS);
  const weight = quantize({ bits: 2 }, calibrationOf(sample, COLUMNS));
  assert(dequantizeHost(weight).every(Number.isFinite));
});

Deno.test("what cannot be quantized is refused in a sentence", () => {
  const refuses = (pattern: RegExp, action: () => unknown) =>
    assert.throws(action, (error) => error instanceof UserError && pattern.test(error.message));
  refuses(/group_size 24 does not divide its 128 inputs/, () => quantize({ group_size: 24 }));
  const sample = SAMPLE.slice();
  sample[COLUMNS + 3] = Infinity;
  refuses(/input 3 is Infinity for a token/, () => quantize({}, { ...CALIBRATION, sample }));
  assert.throws(() => quantize({}, { ...CALIBRATION, sample: null }), RangeError);
  const weights = WEIGHTS.slice();
  weights[5] = NaN;
  refuses(
    /row 0, column 5 is NaN/,
    () => slimLlm.quantize(weights, ROWS, COLUMNS, parse({}), "layer", CALIBRATION),
  );
  for (const values of [{ bits: 8 }, { group_size: 12 }, { salient_weight: 0 }, { sigma: 2 }]) {
    assert.throws(() => parse(values), /Invalid|Too small|Unrecognized/);
  }
});
