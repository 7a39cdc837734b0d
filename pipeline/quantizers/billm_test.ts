// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { unpackCodes } from "../../kernels/packing.ts";
import { correlatedGram, heavyWeights } from "../../tests/support/correlated.ts";
import type { LayerCalibration } from "../calibration/layer_calibration.ts";
import { UserError } from "../errors.ts";
import { countSalient, type HostBinaryWeight, isSalient } from "../formats/binary_weight.ts";
import { dequantizeHost, weightBytes } from "../formats/host_weight.ts";
import { fromFloat32, identity, matrix } from "../linalg/matrix.ts";
import { formatBytes } from "../models/quantized_tensors.ts";
import { billm, type BillmParameters } from "./billm.ts";
import { CODE_RULES, PAPER_RULES, partition, SALIENT, salientColumns } from "./billm_masks.ts";
import { quantizerSchema } from "./registry.ts";

const [ROWS, COLUMNS, BLOCK] = [24, 192, 64];
const WEIGHTS = heavyWeights(ROWS * COLUMNS, 1);
const CALIBRATION: LayerCalibration = {
  gram: correlatedGram(COLUMNS, 3 * COLUMNS, 1),
  tokens: 3 * COLUMNS,
  sample: null,
};

function parse(values: Record<string, unknown>): BillmParameters {
  const whole = { method: "billm", group_size: BLOCK, ...values };
  return quantizerSchema.parse(whole) as BillmParameters;
}

function quantize(
  values: Record<string, unknown>,
  weights = WEIGHTS,
  calibration = CALIBRATION,
): HostBinaryWeight {
  const weight = billm.quantize(weights, ROWS, COLUMNS, parse(values), "layer", calibration);
  assert(weight.format === "binary");
  return weight;
}

const VARIANTS = [
  {},
  { rules: "code" },
  { salience: "magnitude" },
  { compensation: "exact" },
] as const;

Deno.test("three parts that together are the block; salient ones are whole columns", () => {
  const searched = fromFloat32(WEIGHTS.subarray(0, ROWS * BLOCK), ROWS, BLOCK);
  for (const rules of [CODE_RULES, PAPER_RULES]) {
    const parts = partition(searched, searched, rules);
    assert.equal(parts.length, ROWS * BLOCK);
    assert.deepEqual([...new Set(parts)].toSorted(), [0, 1, SALIENT]);
    parts.forEach((part, index) => {
      assert.equal(part === SALIENT, parts[index % BLOCK] === SALIENT);
    });
    // Sparse weights are larger than concentrated ones.
    const magnitudes = (wanted: number) =>
      [...searched.values].filter((_, index) => parts[index] === wanted).map(Math.abs);
    assert(Math.max(...magnitudes(0)) < Math.min(...magnitudes(1)));
  }
});

Deno.test("salient columns are the largest; as many as the rules allow at most", () => {
  const values = fromFloat32(WEIGHTS.subarray(0, ROWS * BLOCK), ROWS, BLOCK);
  for (const column of [3, 11, 40, 62]) {
    for (let row = 0; row < ROWS; row++) values.values[row * BLOCK + column]! *= 40;
  }
  const found = salientColumns(values, values, PAPER_RULES);
  assert.deepEqual([...found].slice(0, 4).toSorted((a, b) => a - b), [3, 11, 40, 62]);
  assert(found.length >= 3 && found.length <= 30);
  // Blocks too narrow for the rules have one column that is not salient.
  assert(salientColumns(matrix(2, 8), matrix(2, 8), CODE_RULES).length <= 7);
  assert.equal(salientColumns(matrix(2, 2), matrix(2, 2), PAPER_RULES).length, 1);
});

Deno.test("a row of a block has at most 4 + 2 + 2 values", () => {
  for (const variant of VARIANTS) {
    const values = dequantizeHost(quantize(variant));
    let most = 0;
    for (let start = 0; start < values.length; start += BLOCK) {
      most = Math.max(most, new Set(values.subarray(start, start + BLOCK)).size);
    }
    assert(most <= 8 && most > 4, `${most} values`);
  }
});

Deno.test("parameter bits are 1 + the share of salient columns", () => {
  for (const variant of VARIANTS) {
    const weight = quantize(variant);
    let salient = 0;
    for (let column = 0; column < COLUMNS; column++) {
      if (isSalient(weight.salient, column)) salient++;
    }
    assert.equal(countSalient(weight), salient);
    assert(salient >= COLUMNS / BLOCK);
    assert.equal(billm.parameterBits?.(weight, parse(variant)), 1 + salient / COLUMNS);
  }
});

Deno.test("bytes are two bits a weight, a flag a column, and f16 scales and means", () => {
  for (const rules of ["code", "paper"]) {
    const numbers = rules === "code" ? 7 : 4;
    const bytes = ROWS * COLUMNS / 4 + COLUMNS / 8 + 2 * numbers * ROWS * COLUMNS / BLOCK;
    const weight = quantize({ rules });
    const parameters = parse({ rules });
    assert.equal(weightBytes(weight), bytes);
    assert.equal(formatBytes(billm.format(parameters), ROWS, COLUMNS), bytes);
    const stated = Number(/([\d.]+) bits per weight/.exec(billm.describe(parameters))?.[1]);
    // All but the flags of columns, which all rows share.
    assert(Math.abs(8 * (bytes - COLUMNS / 8) / (ROWS * COLUMNS) - stated) < 1e-3);
  }
});

Deno.test("for independent inputs there is nothing to make up for", () => {
  const calibration = { ...CALIBRATION, gram: identity(COLUMNS) };
  const exact = quantize({ compensation: "exact" }, WEIGHTS, calibration);
  assert.deepEqual(quantize({ compensation: "diagonal" }, WEIGHTS, calibration), exact);
  // Every block is binarized as if it were alone.
  const last = WEIGHTS.map((value, index) => index % COLUMNS < COLUMNS - BLOCK ? 0 : value);
  const values = dequantizeHost(quantize({}, last, calibration));
  dequantizeHost(exact).forEach((value, index) => {
    if (index % COLUMNS >= COLUMNS - BLOCK) assert.equal(value, values[index]);
  });
});

Deno.test("the first block is the residual and split binarization of its weights", () => {
  for (const variant of VARIANTS) {
    const weight = quantize(variant);
    const values = dequantizeHost(weight);
    const codes = unpackCodes(weight.codes, 2, ROWS, COLUMNS);
    const halves = (value: number) => new Float16Array([value])[0]!;
    for (let row = 0; row < ROWS; row++) {
      for (const group of [0, 1]) {
        const members = Array.from({ length: BLOCK }, (_, column) => row * COLUMNS + column)
          .filter((index) =>
            !isSalient(weight.salient, index % COLUMNS) && codes[index]! >> 1 === group
          );
        if (members.length === 0) continue;
        const average = (of: (weight: number) => number) =>
          members.reduce((sum, index) => sum + of(WEIGHTS[index]!), 0) / members.length;
        const mean = weight.means === null ? 0 : average((value) => value);
        const scale = average((value) => Math.abs(value - mean));
        for (const index of members) {
          const sign = WEIGHTS[index]! >= mean ? 1 : -1;
          const expected = halves(mean) + sign * halves(scale);
          assert(Math.abs(values[index]! - expected) < 2 ** -24, `${index}`);
        }
      }
    }
  }
});

Deno.test("dead inputs and blocks of zeros stay finite", () => {
  const gram = correlatedGram(COLUMNS, 3 * COLUMNS, 2);
  for (let other = 0; other < COLUMNS; other++) {
    gram.values[9 * COLUMNS + other] = 0;
    gram.values[other * COLUMNS + 9] = 0;
  }
  const weights = WEIGHTS.map((value, index) => index % COLUMNS < BLOCK ? 0 : value);
  for (const variant of VARIANTS) {
    const values = dequantizeHost(quantize(variant, weights, { ...CALIBRATION, gram }));
    assert(values.every(Number.isFinite));
    for (let row = 0; row < ROWS; row++) {
      assert(values.subarray(row * COLUMNS, row * COLUMNS + BLOCK).every((value) => value === 0));
    }
  }
});

Deno.test("what cannot be quantized is refused in a sentence", () => {
  const refuses = (pattern: RegExp, action: () => unknown) =>
    assert.throws(action, (error) => error instanceof UserError && pattern.test(error.message));
  refuses(/group_size 128 does not divide its 192 inputs/, () => quantize({ group_size: 128 }));
  refuses(/column 0 is NaN/, () => quantize({}, WEIGHTS.map(() => NaN)));
  const gram = matrix(COLUMNS, COLUMNS);
  refuses(/all its inputs are 0/, () => quantize({}, WEIGHTS, { ...CALIBRATION, gram }));
  refuses(/65504/, () => quantize({}, WEIGHTS.map((value) => 1e8 * value)));
  assert.throws(() => parse({ rules: "both" }), /Invalid/);
});
