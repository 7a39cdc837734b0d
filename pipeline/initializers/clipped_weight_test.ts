// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import type { IntegerBits } from "../../kernels/device.ts";
import { unpackCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import { rtn } from "../quantizers/rtn.ts";
import { type ClippedGridSettings, clippedWeight } from "./clipped_weight.ts";

const [ROWS, COLUMNS, GROUP] = [6, 32, 8];
const GROUPS = ROWS * COLUMNS / GROUP;

/** Normal weights; those of the first group are all positive. */
function weightsOf(seed: number): Float32Array {
  const random = new RandomStream(seed, "clipped weights");
  return Float32Array.from({ length: ROWS * COLUMNS }, (_, index) => {
    const value = random.normal(index);
    return index < GROUP ? 1 + Math.abs(value) : value;
  });
}

function filled(value: number): Float32Array {
  return new Float32Array(GROUPS).fill(value);
}

function settings(bits: IntegerBits, changes: Partial<ClippedGridSettings> = {}) {
  return { bits, groupSize: GROUP, symmetric: false, containsZero: false, ...changes };
}

Deno.test("I-27: logits of 4 give 0.98201 of the min-max scale, and large ones all of it", () => {
  const weights = weightsOf(1);
  for (const bits of [2, 3, 4, 8] as const) {
    const at = (logit: number) =>
      clippedWeight(weights, ROWS, COLUMNS, filled(logit), filled(logit), settings(bits)).scales;
    const [four, open] = [at(4), at(100)];
    for (let group = 0; group < GROUPS; group++) {
      const values = weights.subarray(group * GROUP, (group + 1) * GROUP);
      const range = Math.max(...values) - Math.min(...values);
      assert.equal(open[group], Math.fround(range / (2 ** bits - 1)));
      assert(Math.abs(four[group]! / open[group]! - 0.98201) < 1e-5);
    }
  }
});

Deno.test("I-27: codes stay in range, with zeros outside of it where a group has one sign", () => {
  const weights = weightsOf(2);
  for (const bits of [1, 2, 3, 4, 8] as const) {
    for (const [upper, lower] of [[4, 4], [-1, 3], [0, 0]] as const) {
      const grid = settings(bits);
      const weight = clippedWeight(weights, ROWS, COLUMNS, filled(upper), filled(lower), grid);
      const codes = unpackCodes(weight.codes, bits, ROWS, COLUMNS);
      assert(codes.every((code) => code <= 2 ** bits - 1));
      assert(weight.zeros.every((zero) => Number.isInteger(zero)));
    }
  }
  const narrow = weights.map((value, index) => index < GROUP ? 1 + value / 10 : value);
  const grid = settings(2);
  const outside = clippedWeight(narrow, ROWS, COLUMNS, filled(9), filled(9), grid);
  assert(outside.zeros[0]! < 0);
  const forced = { ...grid, containsZero: true };
  assert.equal(clippedWeight(narrow, ROWS, COLUMNS, filled(9), filled(9), forced).zeros[0], 0);
});

Deno.test("without clipping and with zero in the range, the grid is that of round-to-nearest", () => {
  const weights = weightsOf(3);
  for (const bits of [2, 3, 4] as const) {
    const grid = settings(bits, { containsZero: true });
    const clipped = clippedWeight(weights, ROWS, COLUMNS, filled(100), filled(100), grid);
    const rounded = rtn.quantize(
      weights,
      ROWS,
      COLUMNS,
      { method: "rtn", bits, group_size: GROUP, block_rows: 1, symmetric: false },
      "layer",
    );
    assert.deepEqual(clipped, rounded);
  }
});

Deno.test("a symmetric grid of 2 bits is ternary: a step, zero, a step", () => {
  const grid = settings(2, { symmetric: true });
  const weights = weightsOf(4);
  const weight = clippedWeight(weights, ROWS, COLUMNS, filled(100), filled(100), grid);
  const values = dequantizeHost(weight);
  for (let group = 0; group < GROUPS; group++) {
    const members = weights.subarray(group * GROUP, (group + 1) * GROUP);
    const step = Math.max(...members.map(Math.abs));
    assert(Math.abs(weight.scales[group]! - step) <= 1e-7 * step);
    const levels = new Set(values.subarray(group * GROUP, (group + 1) * GROUP));
    assert([...levels].every((value) => [0, step, -step].some((k) => Math.abs(value - k) < 1e-6)));
  }
});

Deno.test("what is stored is what the device computed while the grid was learned", async () => {
  const device = new ReferenceDevice();
  const weights = weightsOf(5);
  const random = new RandomStream(5, "logits");
  const [upper, lower] = [0, 1].map((which) =>
    Float32Array.from({ length: GROUPS }, (_, group) => 2 * random.normal(2 * group + which))
  ) as [Float32Array, Float32Array];
  for (const bits of [2, 3, 4] as const) {
    for (const changes of [{}, { symmetric: true }, { containsZero: true }]) {
      const grid = settings(bits, changes);
      const make = (label: string, size: number[], values: Float32Array) => {
        const tensor = device.tensor("f32", size, label);
        device.write(tensor, values);
        return tensor;
      };
      const output = device.tensor("f32", [ROWS, COLUMNS], "output");
      const recording = device.record("quantize", (operations) =>
        operations.clippedQuantize({
          ...grid,
          weight: make("weight", [ROWS, COLUMNS], weights),
          upper: make("upper", [GROUPS], upper),
          lower: make("lower", [GROUPS], lower),
          output,
        }));
      device.run(recording);
      const learned = await device.readFloats(output);
      const stored = dequantizeHost(
        clippedWeight(weights, ROWS, COLUMNS, upper, lower, grid),
      );
      const scale = Math.max(...weights.map(Math.abs));
      stored.forEach((value, index) => {
        // Scales are stored in f32; a code that differed would be off by a step.
        assert(Math.abs(value - learned[index]!) < 1e-5 * scale, `${value} ${learned[index]}`);
      });
    }
  }
  device.close();
});
