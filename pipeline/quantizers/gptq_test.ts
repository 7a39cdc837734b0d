// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { unpackCodes } from "../../kernels/packing.ts";
import {
  correlatedGram,
  damped,
  heavyWeights,
  outputError,
} from "../../tests/support/correlated.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost, type HostIntegerWeight } from "../formats/host_weight.ts";
import { identity, type Matrix, matrix } from "../linalg/matrix.ts";
import { gptq, type GptqParameters, roundLayer } from "./gptq.ts";
import { encode } from "./integer_grid.ts";
import { quantizerSchema } from "./registry.ts";
import { rtn } from "./rtn.ts";

const ROWS = 24;
const COLUMNS = 192;
const GRAM = correlatedGram(COLUMNS, 600, 1);
const WEIGHTS = heavyWeights(ROWS * COLUMNS, 1);

function parametersOf(values: Partial<GptqParameters>): GptqParameters {
  const parsed = quantizerSchema.parse({ method: "gptq", group_size: 32, ...values });
  assert(parsed.method === "gptq");
  return parsed;
}

function calibrationOf(gram: Matrix) {
  return { gram, tokens: 600, sample: null };
}

function quantize(
  values: Partial<GptqParameters>,
  gram: Matrix = GRAM,
  weights: Float32Array = WEIGHTS,
): HostIntegerWeight {
  const { rows, columns } = { rows: weights.length / gram.columns, columns: gram.columns };
  const calibration = calibrationOf(gram);
  const parameters = parametersOf(values);
  const weight = gptq.quantize(weights, rows, columns, parameters, "layer", calibration);
  assert(weight.format === "integer");
  return weight;
}

/** Reads what {@linkcode roundLayer} returns from the definition, back in the order of inputs. */
function restore(values: Partial<GptqParameters>, gram: Matrix = GRAM) {
  const parameters = parametersOf(values);
  const { group_size, block_rows } = parameters;
  const layer = roundLayer(WEIGHTS, ROWS, COLUMNS, parameters, "layer", gram);
  const restored = new Float64Array(ROWS * COLUMNS);
  for (let row = 0; row < ROWS; row++) {
    for (let column = 0; column < COLUMNS; column++) {
      const block = Math.floor(row / block_rows) * (COLUMNS / group_size) +
        Math.floor(column / group_size);
      const input = layer.order === null ? column : layer.order[column]!;
      restored[row * COLUMNS + input] = Math.fround(
        layer.scales[block]! * (layer.codes[row * COLUMNS + column]! - layer.zeros[block]!),
      );
    }
  }
  return { ...layer, restored };
}

const MODES: readonly Partial<GptqParameters>[] = [
  {},
  { bits: 2, symmetric: true },
  { grid: "fresh" },
  { grid: "fresh", group_size: 48, block_size: 128 },
  { group_size: 48, block_size: 128 },
  { group_size: COLUMNS, bits: 3 },
  { static_groups: true },
  { act_order: true },
  { act_order: true, static_groups: true },
  { block_rows: 4, group_size: 8, bits: 2 },
  { block_rows: 4, group_size: 8, act_order: true, static_groups: true },
  { mse: true, bits: 2 },
];

for (const mode of MODES) {
  Deno.test(`I-1: the sum of squared errors is the error of the outputs: ${JSON.stringify(mode)}`, () => {
    const { restored, error, damping } = restore(mode);
    assert.equal(damping, 0.01);
    const expected = outputError(WEIGHTS, restored, damped(GRAM, 0.01));
    assert(Math.abs(error / expected - 1) < 1e-10, `${error} against ${expected}`);
  });
}

Deno.test("I-2: with a diagonal Gram matrix GPTQ is round to nearest, bit by bit", () => {
  const diagonal = matrix(
    COLUMNS,
    COLUMNS,
    GRAM.values.map((value, index) => index % (COLUMNS + 1) === 0 ? value : 0),
  );
  const modes: Partial<GptqParameters>[] = [
    {},
    { bits: 2, symmetric: true, group_size: 64 },
    { bits: 3, grid: "fresh", block_size: 40 },
    { static_groups: true, act_order: true },
    { block_rows: 8, group_size: 4 },
  ];
  for (
    const gram of [
      diagonal,
      matrix(
        COLUMNS,
        COLUMNS,
        identity(COLUMNS).values.map((v) => 7 * v),
      ),
    ]
  ) {
    for (const mode of modes) {
      const { bits, group_size, block_rows, symmetric } = parametersOf(mode);
      const parameters = { method: "rtn", bits, group_size, block_rows, symmetric } as const;
      const expected = rtn.quantize(WEIGHTS, ROWS, COLUMNS, parameters, "layer");
      assert.deepEqual(quantize(mode, gram), expected);
    }
  }
});

Deno.test("I-3: a Gram matrix in other units gives the same codes", () => {
  for (const factor of [2 ** 20, 2 ** -40, 0.3]) {
    const scaled = matrix(COLUMNS, COLUMNS, GRAM.values.map((value) => factor * value));
    for (const mode of [{}, { act_order: true, static_groups: true }]) {
      assert.deepEqual(quantize(mode, scaled), quantize(mode));
    }
  }
});

Deno.test("I-3 holds with dead inputs", () => {
  const dead = matrix(COLUMNS, COLUMNS, silence(GRAM, [5, 100]).values);
  const scaled = matrix(COLUMNS, COLUMNS, dead.values.map((value) => 2 ** -30 * value));
  assert.deepEqual(quantize({}, scaled), quantize({}, dead));
});

Deno.test("I-4: the size of blocks of columns changes nothing where grids are static, of whole rows or fresh", () => {
  const modes: Partial<GptqParameters>[] = [
    { static_groups: true },
    { static_groups: true, act_order: true },
    { group_size: COLUMNS },
    { grid: "fresh" },
    { grid: "fresh", group_size: 96, bits: 2 },
  ];
  for (const mode of modes) {
    const expected = quantize({ ...mode, block_size: 128 });
    for (const block_size of [1, 32, 50, COLUMNS, 1000]) {
      assert.deepEqual(quantize({ ...mode, block_size }), expected);
    }
  }
});

Deno.test("A-1: stale grids do depend on it, and equal fresh ones where groups begin with blocks", () => {
  assert.notDeepEqual(quantize({ block_size: 128 }), quantize({ block_size: 32 }));
  assert.deepEqual(quantize({ block_size: 32 }), quantize({ grid: "fresh", block_size: 128 }));
});

Deno.test("I-6: far less output error than round to nearest, in every mode at every width", () => {
  const relative = (mode: Partial<GptqParameters>) => {
    const { bits, group_size, block_rows, symmetric } = parametersOf(mode);
    const parameters = { method: "rtn", bits, group_size, block_rows, symmetric } as const;
    const nearest = dequantizeHost(rtn.quantize(WEIGHTS, ROWS, COLUMNS, parameters, "layer"));
    return outputError(WEIGHTS, restore(mode).restored, GRAM) / outputError(WEIGHTS, nearest, GRAM);
  };
  for (const bits of [2, 3, 4, 8] as const) {
    for (const mode of MODES) {
      const ratio = relative({ ...mode, bits });
      assert(ratio < 0.6, `${bits} bits, ${JSON.stringify(mode)}: ${ratio}`);
    }
  }
});

Deno.test("I-7: codes in range; restored weights lie on the grid; few values in each group", () => {
  for (const bits of [2, 3, 4, 8] as const) {
    const weight = quantize({ bits });
    const restored = dequantizeHost(weight);
    const codes = unpackCodes(weight.codes, bits, ROWS, COLUMNS);
    weight.scales.forEach((scale, block) => {
      const grid = { scale, zero: weight.zeros[block]! };
      assert(Number.isInteger(grid.zero) && grid.zero >= 0 && grid.zero < 2 ** bits);
      const values = restored.subarray(32 * block, 32 * block + 32);
      assert(new Set(values).size <= 2 ** bits);
      assert.deepEqual(
        [...values].map((value) => encode(value, grid, bits)),
        [...codes.subarray(32 * block, 32 * block + 32)],
      );
    });
  }
});

Deno.test("I-10: codes in the order of activations read back in the order of inputs", () => {
  const parameters = parametersOf({ act_order: true });
  const calibration = calibrationOf(GRAM);
  const weight = gptq.quantize(WEIGHTS, ROWS, COLUMNS, parameters, "layer", calibration);
  assert(weight.format === "ordered");
  const diagonal = Array.from(weight.order, (input) => GRAM.values[input * (COLUMNS + 1)]!);
  diagonal.slice(1).forEach((value, index) => assert(value <= diagonal[index]!));
  assert.deepEqual(gptq.format(parameters), {
    format: "ordered",
    bits: 4,
    block_rows: 1,
    group_size: 32,
  });
  assert.deepEqual(
    Float64Array.from(dequantizeHost(weight)),
    restore({ act_order: true }).restored,
  );
});

Deno.test("act-order of inputs that are sorted already changes nothing", () => {
  const sorted = restore({ act_order: true }).order!;
  const gram = matrix(
    COLUMNS,
    COLUMNS,
    Float64Array.from(
      GRAM.values,
      (_, index) =>
        GRAM.values[sorted[Math.floor(index / COLUMNS)]! * COLUMNS + sorted[index % COLUMNS]!]!,
    ),
  );
  const weights = WEIGHTS.map((_, index) =>
    WEIGHTS[Math.floor(index / COLUMNS) * COLUMNS + sorted[index % COLUMNS]!]!
  );
  const plain = quantize({}, gram, weights);
  const ordered = roundLayer(WEIGHTS, ROWS, COLUMNS, parametersOf({ act_order: true }), "w", GRAM);
  assert.deepEqual(unpackCodes(plain.codes, 4, ROWS, COLUMNS), ordered.codes);
  assert.deepEqual(plain.scales, ordered.scales);
});

Deno.test("the clip search lowers what it minimizes, and one step is no search", () => {
  const grids = { static_groups: true, bits: 2 } as const;
  assert.deepEqual(
    quantize({ ...grids, mse: true, mse_grid: 1, mse_max_shrink: 1 }),
    quantize(grids),
  );
  const loss = (weight: HostIntegerWeight) => {
    // The nearest codes of each grid, as the search sees them.
    const errors = Array.from(WEIGHTS, (value, index) => {
      const block = Math.floor(index / 32);
      const grid = { scale: weight.scales[block]!, zero: weight.zeros[block]! };
      return Math.abs(grid.scale * (encode(value, grid, 2) - grid.zero) - value) ** 2.4;
    });
    return Array.from(
      weight.scales,
      (_, block) => errors.slice(32 * block, 32 * block + 32).reduce((sum, error) => sum + error),
    );
  };
  const found = loss(quantize({ ...grids, mse: true }));
  const whole = loss(quantize(grids));
  found.forEach((error, block) => assert(error <= whole[block]!));
  assert(found.filter((error, block) => error < 0.9 * whole[block]!).length > found.length / 2);
});

Deno.test("a range of 0.8 makes every step 0.8 times as large", () => {
  const grids = { static_groups: true, bits: 2 } as const;
  const [whole, shrunk] = [quantize(grids), quantize({ ...grids, range: 0.8 })];
  whole.scales.forEach((scale, block) => {
    assert(Math.abs(shrunk.scales[block]! / scale - 0.8) < 1e-6);
  });
  assert.deepEqual(shrunk.zeros, whole.zeros);
});

Deno.test("dead inputs: weights become 0, all others as if they were not there", () => {
  const gram = silence(GRAM, [...Array(32).keys()].map((index) => index + 64));
  const weight = quantize({}, gram);
  const restored = dequantizeHost(weight);
  for (let row = 0; row < ROWS; row++) {
    for (let column = 64; column < 96; column++) assert.equal(restored[row * COLUMNS + column], 0);
  }
  const kept = [...Array(COLUMNS).keys()].filter((column) => column < 64 || column >= 96);
  const smaller = matrix(
    160,
    160,
    Float64Array.from(kept.flatMap((i) => kept.map((j) => GRAM.values[i * COLUMNS + j]!))),
  );
  const fewer = Float32Array.from(
    { length: ROWS * 160 },
    (_, index) => WEIGHTS[Math.floor(index / 160) * COLUMNS + kept[index % 160]!]!,
  );
  // Fresh grids: a block of columns has other neighbours here and there.
  const expected = dequantizeHost(quantize({ grid: "fresh" }, smaller, fewer));
  const actual = dequantizeHost(quantize({ grid: "fresh" }, gram));
  expected.forEach((value, index) => {
    assert.equal(actual[Math.floor(index / 160) * COLUMNS + kept[index % 160]!], value);
  });
});

Deno.test("a Gram matrix that is not positive definite: damping rises, and the log says so", () => {
  // Rounding of f32 sums may leave an eigenvalue below 0; here one is at -0.035 of the mean.
  const gram = matrix(2, 2, Float64Array.of(1, 1.035, 1.035, 1));
  const lines: string[] = [];
  const parameters = parametersOf({ group_size: 2 });
  gptq.quantize(Float32Array.of(1, 2), 1, 2, parameters, "up", calibrationOf(gram), (line) => {
    lines.push(line);
  });
  assert.deepEqual(lines, [
    "up: its Gram matrix is not positive definite with a damping of 0.01; it was raised to 0.04",
  ]);
  const rounded = roundLayer(Float32Array.of(1, 2), 1, 2, parameters, "up", gram);
  assert(Math.abs(rounded.damping - 0.04) < 1e-12);
});

Deno.test("fewer tokens than inputs: damping makes the singular Gram matrix definite", () => {
  const gram = correlatedGram(COLUMNS, 20, 3);
  const { error, damping, restored } = restore({}, gram);
  assert.equal(damping, 0.01);
  const expected = outputError(WEIGHTS, restored, damped(gram, 0.01));
  assert(Math.abs(error / expected - 1) < 1e-10);
});

Deno.test("what no inputs have is refused, with the layer's name", () => {
  const changed = (index: number, value: number) => {
    const values = GRAM.values.slice();
    values[index] = value;
    return matrix(COLUMNS, COLUMNS, values);
  };
  const refused = (gram: Matrix, message: RegExp) =>
    assert.throws(
      () => quantize({}, gram),
      (error) => error instanceof UserError && message.test(error.message),
    );
  refused(
    changed(COLUMNS + 3, NaN),
    /calibrate layer: the product of its inputs 1 and 3 .* is NaN/,
  );
  refused(changed(3, Infinity), /inputs 0 and 3 .* is Infinity/);
  refused(changed(2 * (COLUMNS + 1), -1), /mean square of its input 2 is -1/);
  refused(matrix(COLUMNS, COLUMNS), /all its inputs are 0 on calibration text/);
  refused(
    matrix(COLUMNS, COLUMNS, GRAM.values.map((v, i) => i % (COLUMNS + 1) === 0 ? v : 9 * v)),
    /layer: its Gram matrix is not positive definite even with a damping of 1/,
  );
  assert.throws(() => quantize({ group_size: 36 }), /group_size 36 does not divide its 192 inputs/);
  assert.throws(() => quantize({ block_rows: 5 }), /block_rows 5 does not divide its 24 outputs/);
  assert.throws(
    () => roundLayer(WEIGHTS, ROWS, COLUMNS, parametersOf({}), "layer", matrix(3, 3)),
    RangeError,
  );
});

/** The Gram matrix of inputs of which some are always 0. */
function silence(gram: Matrix, dead: readonly number[]): Matrix {
  const { columns } = gram;
  return matrix(
    columns,
    columns,
    gram.values.map((value, index) =>
      dead.includes(index % columns) || dead.includes(Math.floor(index / columns)) ? 0 : value
    ),
  );
}
