import assert from "node:assert/strict";
import fc from "fast-check";
import { unpackCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { UserError } from "../errors.ts";
import { dequantizeHost, type HostIntegerWeight, weightBytes } from "../formats/host_weight.ts";
import { encode, fitGrid } from "./integer_grid.ts";
import { quantizerSchema } from "./registry.ts";
import { rtn, type RtnParameters } from "./rtn.ts";

const WIDTHS = [2, 3, 4, 8] as const;

function parametersOf(values: Partial<RtnParameters>): RtnParameters {
  return { method: "rtn", bits: 4, group_size: 32, block_rows: 1, symmetric: false, ...values };
}

function quantize(
  weights: Float32Array,
  rows: number,
  columns: number,
  values: Partial<RtnParameters>,
): HostIntegerWeight {
  const weight = rtn.quantize(weights, rows, columns, parametersOf(values), "layer");
  assert(weight.format === "integer");
  return weight;
}

function codesOf(weight: HostIntegerWeight): number[] {
  return [...unpackCodes(weight.codes, weight.bits, weight.rows, weight.columns)];
}

function gaussian(count: number, seed: number): Float32Array {
  const stream = new RandomStream(seed, "rtn test");
  return Float32Array.from({ length: count }, (_, index) => 0.02 * stream.normal(index));
}

Deno.test("asymmetric grid by hand: zero inside the range, ties to even", () => {
  // -1..2 at 2 bits: scale 1, zero 1; 0.5 and 1.5 round to the even 0 and 2.
  const weight = quantize(Float32Array.of(-1, 2, 0.5, 1.5), 1, 4, { bits: 2, group_size: 4 });
  assert.deepEqual([...weight.scales], [1]);
  assert.deepEqual([...weight.zeros], [1]);
  assert.deepEqual(codesOf(weight), [0, 3, 1, 3]);
  assert.deepEqual([...dequantizeHost(weight)], [-1, 2, 0, 2]);
});

Deno.test("a group of one sign keeps zero in its range", () => {
  const positive = quantize(Float32Array.of(2, 3, 2.5, 3), 1, 4, { bits: 2, group_size: 4 });
  assert.deepEqual([...positive.scales, ...positive.zeros], [1, 0]);
  const negative = quantize(Float32Array.of(-2, -3, -2, -3), 1, 4, { bits: 2, group_size: 4 });
  assert.deepEqual([...negative.scales, ...negative.zeros], [1, 3]);
  assert.deepEqual([...dequantizeHost(negative)], [-2, -3, -2, -3]);
});

Deno.test("symmetric grid by hand: clamped at the top, also without negative weights", () => {
  // a = 3: scale 6 / 3 = 2, zero 2, values -4, -2, 0, 2.
  const weight = quantize(Float32Array.of(-3, 0, 1.5, 3), 1, 4, {
    bits: 2,
    group_size: 4,
    symmetric: true,
  });
  assert.deepEqual([...weight.scales, ...weight.zeros], [2, 2]);
  assert.deepEqual(codesOf(weight), [0, 2, 3, 3]);
  const positive = quantize(Float32Array.of(0, 1, 2, 3), 1, 4, {
    bits: 2,
    group_size: 4,
    symmetric: true,
  });
  assert.deepEqual([...positive.scales, ...positive.zeros], [2, 2]);
});

Deno.test("degenerate groups: all zero, constant, denormal", () => {
  for (const bits of WIDTHS) {
    for (const symmetric of [false, true]) {
      const zeros = quantize(new Float32Array(8), 2, 4, { bits, group_size: 4, symmetric });
      assert(zeros.scales.every((scale) => scale > 0 && Number.isFinite(scale)));
      assert.deepEqual([...dequantizeHost(zeros)], new Array(8).fill(0));
      const tiny = quantize(new Float32Array(4).fill(1e-45), 1, 4, {
        bits,
        group_size: 4,
        symmetric,
      });
      assert(dequantizeHost(tiny).every(Number.isFinite));
    }
    for (const constant of [0.7, -0.7]) {
      const weight = quantize(new Float32Array(4).fill(constant), 1, 4, { bits, group_size: 4 });
      for (const value of dequantizeHost(weight)) {
        assert(Math.abs(value - constant) < 1e-6);
      }
    }
  }
});

Deno.test("property: error at most half a step, zeros are integers, 0 is exact", () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...WIDTHS),
      fc.array(fc.float({ noNaN: true, min: -1000, max: 1000 }), { minLength: 12, maxLength: 12 }),
      (bits, values) => {
        const weights = Float32Array.from([...values.slice(0, 11), 0]);
        const weight = quantize(weights, 2, 6, { bits, group_size: 3 });
        const restored = dequantizeHost(weight);
        weights.forEach((value, index) => {
          const scale = weight.scales[Math.floor(index / 3)] as number;
          assert(Math.abs((restored[index] as number) - value) <= 0.5 * scale * (1 + 1e-5));
        });
        assert.equal(restored[11], 0);
        assert(
          weight.zeros.every((zero) => Number.isInteger(zero) && zero >= 0 && zero < 2 ** bits),
        );
      },
    ),
    { seed: 1, numRuns: 200 },
  );
});

Deno.test("quantizing restored weights on the same grid gives the same codes", () => {
  const weights = gaussian(4 * 64, 1);
  for (const bits of WIDTHS) {
    const weight = quantize(weights, 4, 64, { bits, group_size: 32 });
    const restored = dequantizeHost(weight);
    codesOf(weight).forEach((code, index) => {
      const block = Math.floor(index / 32);
      const grid = {
        scale: weight.scales[block] as number,
        zero: weight.zeros[block] as number,
      };
      assert.equal(encode(restored[index] as number, grid, bits), code);
    });
  }
});

Deno.test("2-D blocks equal groups of the rearranged matrix", () => {
  const [rows, columns, blockRows, blockColumns] = [8, 12, 4, 3];
  const weights = gaussian(rows * columns, 2);
  const blocked = quantize(weights, rows, columns, {
    bits: 3,
    group_size: blockColumns,
    block_rows: blockRows,
  });
  // Lay every block out as one group of 12 and quantize that with 1-D groups.
  const order: number[] = [];
  for (let row = 0; row < rows; row += blockRows) {
    for (let column = 0; column < columns; column += blockColumns) {
      for (let i = 0; i < blockRows; i++) {
        for (let j = 0; j < blockColumns; j++) order.push((row + i) * columns + column + j);
      }
    }
  }
  const grouped = quantize(
    Float32Array.from(order, (index) => weights[index] as number),
    rows,
    columns,
    { bits: 3, group_size: blockRows * blockColumns },
  );
  assert.deepEqual([...blocked.scales], [...grouped.scales]);
  assert.deepEqual([...blocked.zeros], [...grouped.zeros]);
  const codes = codesOf(blocked);
  assert.deepEqual(order.map((index) => codes[index]), codesOf(grouped));
  const restored = dequantizeHost(blocked);
  assert.deepEqual(order.map((index) => restored[index]), [...dequantizeHost(grouped)]);
});

Deno.test("error falls with bits and the storage is what it says", () => {
  const weights = gaussian(64 * 128, 3);
  const errors = WIDTHS.map((bits) => {
    const weight = quantize(weights, 64, 128, { bits, group_size: 32 });
    assert.equal(8 * weightBytes(weight) / (64 * 128), bits + 64 / 32);
    assert.match(rtn.describe(parametersOf({ bits })), new RegExp(`, ${bits + 2} bits per weight`));
    const restored = dequantizeHost(weight);
    return Math.hypot(...weights.map((value, index) => value - (restored[index] as number))) /
      Math.hypot(...weights);
  });
  // Relative error of N(0, 1) groups of 32 with min-max grids: range about 4.1 sigma, step
  // range / (2^b - 1), uniform error step / sqrt(12).
  errors.forEach((error, index) => {
    const expected = 4.13 / (2 ** (WIDTHS[index] as number) - 1) / Math.sqrt(12);
    assert(error > 0.7 * expected && error < 1.3 * expected, `${error} against ${expected}`);
  });
});

Deno.test("a fitted grid covers its weights", () => {
  const { scale, zero } = fitGrid(-0.3, 0.9, 4, false);
  assert.equal(scale, Math.fround(1.2 / 15));
  assert.equal(zero, 4); // 0.3 / 0.08 = 3.75
});

Deno.test("what does not fit is refused, with the layer's name", () => {
  const weights = new Float32Array(2 * 48);
  assert.throws(
    () => rtn.quantize(weights, 2, 48, parametersOf({}), "layers.0.up"),
    (error) =>
      error instanceof UserError &&
      error.message ===
        "Cannot quantize layers.0.up: group_size 32 does not divide its 48 inputs; use one of 8, 12, 16, 24, 48",
  );
  assert.throws(
    () => rtn.quantize(weights, 2, 48, parametersOf({ group_size: 16, block_rows: 3 }), "a"),
    /block_rows 3 does not divide its 2 outputs/,
  );
  for (const bad of [NaN, Infinity, -Infinity]) {
    const broken = weights.slice();
    broken[50] = bad;
    assert.throws(
      () => rtn.quantize(broken, 2, 48, parametersOf({ group_size: 16 }), "a"),
      new RegExp(`row 1, column 2 is ${bad}`),
    );
  }
});

Deno.test("schema: defaults, strictness, union by method", () => {
  assert.deepEqual(quantizerSchema.parse({ method: "rtn" }), parametersOf({}));
  assert.deepEqual(quantizerSchema.parse({ method: "nf4" }), {
    method: "nf4",
    double_quantization: true,
  });
  assert(!quantizerSchema.safeParse({ method: "rtn", bits: 5 }).success);
  assert(!quantizerSchema.safeParse({ method: "rtn", groupsize: 32 }).success);
  assert(!quantizerSchema.safeParse({ method: "none", bits: 4 }).success);
});
