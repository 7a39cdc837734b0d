// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import type { LinearShape } from "../models/architecture.ts";
import { dequantizeHost, type HostIntegerWeight } from "../formats/host_weight.ts";
import { rtn } from "../quantizers/rtn.ts";
import type { HostModule } from "./adapter.ts";
import { mergeIntoDense, mergeIntoZeros, tileUpdate, zeroMovement } from "./merge.ts";
import { type AdapterOptions, planAdapter } from "./plan.ts";

const ROWS = 24;
const COLUMNS = 64;
const linear: LinearShape = {
  name: "q_proj",
  path: "layer",
  layer: 0,
  rows: ROWS,
  columns: COLUMNS,
  bias: false,
};

function normal(size: number, purpose: string): Float32Array {
  const random = new RandomStream(7, purpose);
  return Float32Array.from({ length: size }, (_, index) => random.normal(index));
}

function randomModule(
  form: string,
  block: { rows: number; columns: number } | null,
  changes: Partial<AdapterOptions> = {},
): HostModule {
  const shape = planAdapter(
    {
      form,
      rank: 3,
      alpha: 5,
      lambda: 2,
      rankStabilized: false,
      pooling: "average",
      budget: null,
      targets: ["q_proj"],
      ...changes,
    },
    linear,
    block,
  )!;
  return {
    shape,
    a: shape.a === null ? null : normal(shape.a[0] * shape.a[1], "a"),
    b: normal(shape.b[0] * shape.b[1], "b"),
  };
}

/** `y = W x + scale * repeat(B A pool(x))`, straight from the definition, in float64. */
function adapterOutput(weights: ArrayLike<number>, x: ArrayLike<number>, module: HostModule) {
  const { pool, repeat, rank, scale } = module.shape;
  const pooled = Array.from(
    { length: COLUMNS / pool },
    (_, j) =>
      Array.from({ length: pool }, (_, i) => x[j * pool + i]!).reduce((p, q) => p + q) / pool,
  );
  const hidden = module.a === null ? pooled : Array.from(
    { length: rank },
    (_, k) => pooled.reduce((sum, value, j) => sum + value * module.a![k * pooled.length + j]!, 0),
  );
  return Array.from({ length: ROWS }, (_, row) => {
    const output = Math.floor(row / repeat);
    const adapted = hidden.reduce(
      (sum, value, k) => sum + value * module.b[output * hidden.length + k]!,
      0,
    );
    return product(weights, x, row) + scale * adapted;
  });
}

function product(weights: ArrayLike<number>, x: ArrayLike<number>, row: number): number {
  let sum = 0;
  for (let column = 0; column < COLUMNS; column++) {
    sum += weights[row * COLUMNS + column]! * x[column]!;
  }
  return sum;
}

function quantized(bits: 2 | 3 | 4 | 8, group_size: number, block_rows: number): HostIntegerWeight {
  return rtn.quantize(
    normal(ROWS * COLUMNS, "weights"),
    ROWS,
    COLUMNS,
    { method: "rtn", bits, group_size, block_rows, symmetric: false },
    "layer",
  ) as HostIntegerWeight;
}

const x = normal(COLUMNS, "x");

for (const bits of [2, 3, 4, 8] as const) {
  for (
    const [form, rows, columns, changes] of [
      ["qa-lora", 1, 32, {}],
      ["qa-lora", 1, 64, { pooling: "sum" }],
      ["qa-blora", 1, 32, {}],
      ["qa-blora", 1, 16, { pool: 32, repeat: 4 }],
      ["qa-blora", 8, 4, { repeat: 8 }],
      ["qa-hira", 8, 4, {}],
    ] as const
  ) {
    Deno.test(`mergeIntoZeros() is exact for ${form} at ${bits} bits, blocks ${rows}x${columns}`, () => {
      const weight = quantized(bits, columns, rows);
      const module = randomModule(form, { rows, columns }, changes);
      const merged = mergeIntoZeros(weight, module, "layer");
      assert.equal(merged.codes, weight.codes);
      assert.equal(merged.scales, weight.scales);
      assert.ok(zeroMovement(weight, merged) > 0.01, "the adapter moves the zeros");
      const expected = adapterOutput(dequantizeHost(weight), x, module);
      const largest = Math.max(...expected.map(Math.abs));
      expected.forEach((value, row) => {
        // Zeros and weights are rounded to f32; nothing else is.
        const error = Math.abs(product(dequantizeHost(merged), x, row) - value);
        assert.ok(error <= 1e-5 * largest, `row ${row}: ${error} of ${largest}`);
      });
    });
  }
}

for (const form of ["lora", "q-blora"]) {
  Deno.test(`mergeIntoDense() adds the update of ${form}`, () => {
    const values = normal(ROWS * COLUMNS, "weights");
    const module = randomModule(form, null);
    const merged = mergeIntoDense(
      { format: "dense", rows: ROWS, columns: COLUMNS, values },
      module,
    );
    adapterOutput(values, x, module).forEach((expected, row) => {
      assert.ok(Math.abs(product(merged.values, x, row) - expected) < 1e-5);
    });
  });
}

Deno.test("mergeIntoZeros() refuses an adapter that is not constant on blocks", () => {
  const weight = quantized(4, 32, 1);
  assert.throws(
    () => mergeIntoZeros(weight, randomModule("lora", null), "layer"),
    /whole quantization/,
  );
  assert.throws(
    () => mergeIntoZeros(weight, randomModule("q-blora", null), "layer"),
    /tiles of 2 x 2 do not contain whole quantization blocks of 1 x 32/,
  );
});

Deno.test("tileUpdate() has the norm of the product for equal pool and repeat", () => {
  const module = randomModule("q-blora", null, { lambda: 4 });
  const update = tileUpdate(module);
  const { pool, repeat, scale } = module.shape;
  const frobenius = Math.sqrt(pool * repeat * update.reduce((sum, value) => sum + value ** 2, 0));
  const [outputs, rank] = module.shape.b;
  const inputs = module.shape.a![1];
  let sum = 0;
  for (let output = 0; output < outputs; output++) {
    for (let input = 0; input < inputs; input++) {
      let entry = 0;
      for (let k = 0; k < rank; k++) {
        entry += module.b[output * rank + k]! * module.a![k * inputs + input]!;
      }
      sum += entry ** 2;
    }
  }
  assert.ok(Math.abs(frobenius / (scale * Math.sqrt(sum)) - 1) < 1e-12);
});
