/**
 * Tensors larger than a binding, on devices that bind very little: against the reference, and bit by
 * bit against whole bindings wherever sharding leaves the order of sums as it is.
 */

import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { type Case, checkCase, runCase } from "../testing/case.ts";
import { CASES } from "../testing/conformance.ts";
import { crossEntropyCase } from "../testing/vocabulary_cases.ts";
import {
  randomCodebook,
  randomDense,
  randomInteger,
  randomNf4,
  type WeightData,
} from "../testing/weights.ts";
import { openWebgpu, type WebgpuOptions } from "./adapter.ts";
import type { WebgpuDevice } from "./device.ts";

/** A device that tells how many dispatches its latest recording has. */
interface Watched {
  readonly device: WebgpuDevice;
  dispatches: number;
}

async function openWatched(options: WebgpuOptions): Promise<Watched> {
  const device = await openWebgpu(options);
  const watched = { device, dispatches: 0 };
  const record = device.record.bind(device);
  device.record = (label, build) => {
    const recording = record(label, build);
    watched.dispatches = recording.length;
    return recording;
  };
  return watched;
}

/** Checks a case on a device that binds little, and compares with one that binds all it can. */
type Check = (testCase: Case, results: "same bits" | "within bounds") => Promise<void>;

/** Runs `test` with a check on a device that binds little; `sharded` counts cases that it cut. */
async function withShards(
  options: WebgpuOptions,
  test: (check: Check) => Promise<void>,
): Promise<{ sharded: number }> {
  const small = await openWatched(options);
  const whole = await openWatched({ ...options, maxBindingBytes: 2 ** 27 });
  let sharded = 0;
  try {
    await test(async (testCase, results) => {
      await checkCase(small.device, testCase);
      const expected = await runCase(whole.device, testCase);
      if (small.dispatches > whole.dispatches) sharded++;
      if (results === "same bits") {
        assert.deepEqual(await runCase(small.device, testCase), expected, testCase.label);
      }
    });
  } finally {
    small.device.close();
    whole.device.close();
  }
  return { sharded };
}

function casesOf(operation: string): Case[] {
  const cases = CASES[operation]?.() ?? [];
  assert.notEqual(cases.length, 0, operation);
  return cases;
}

for (const operation of ["fill, copy and add", "swiglu", "swigluBackward", "adamw"]) {
  Deno.test(`in ranges, with the same bits: ${operation}`, async () => {
    const cases = casesOf(operation);
    const { sharded } = await withShards({ maxBindingBytes: 1024 }, async (check) => {
      for (const testCase of cases) await check(testCase, "same bits");
    });
    // 1031 elements are four ranges and seven elements.
    assert.equal(sharded, cases.filter(({ label }) => label.includes("1031")).length);
  });
}

/** The conformance cases of operations whose tensors can be larger than a binding. */
const CONFORMANCE = [
  ...Object.keys(CASES).filter((name) =>
    /^(linear|linearTransposed|dequantize|matmul) /.test(name)
  ),
  "lowRank",
  "lowRankBackward",
  "linearGroup",
  "linearGroupTransposed",
  "embedding",
  "embeddingBackward",
  "crossEntropy",
  "squaredError",
  "clippedQuantize",
  "clippedQuantizeBackward",
  "gatherColumns",
  "scatterColumns",
  "gradientNorm",
];

Deno.test("the conformance suite with 16 KiB per binding, as far as its shapes allow", async (t) => {
  const { sharded } = await withShards({ maxBindingBytes: 2 ** 14 }, async (check) => {
    for (const operation of CONFORMANCE) {
      await t.step(operation, async () => {
        for (const testCase of casesOf(operation)) {
          try {
            await check(testCase, "within bounds");
          } catch (error) {
            // Activations of one token, or too few rows to cut, that no small binding holds.
            if (!(error instanceof RangeError)) throw error;
            assert.match(error.message, /this device binds 0\.0 MiB at once/);
          }
        }
      });
    }
  });
  assert.ok(sharded >= 25, `${sharded} cases were cut`);
});

const [ROWS, COLUMNS] = [300, 128];

/** A weight, and how much is bound at once of its layer and of its decoded values. */
interface Sharded {
  readonly weight: WeightData;
  readonly layerBytes: number;
  readonly decodedBytes: number;
}

/** Weights in every format; bindings hold whole blocks, and 64 rows where a bias has to start. */
const WEIGHTS: Readonly<Record<string, Sharded>> = {
  dense: decodedInFive(randomDense("dense", ROWS, COLUMNS), 2 ** 15),
  integer2: decodedInFive(randomInteger("integer2", ROWS, COLUMNS, 2, 1, 16), 6144),
  integer3: decodedInFive(randomInteger("integer3", ROWS, COLUMNS, 3, 1, 32), 6144),
  integer4: decodedInFive(randomInteger("integer4", ROWS, COLUMNS, 4, 1, 32), 6144),
  "blocks of 3 rows": decodedInFive(randomInteger("blocks", ROWS, COLUMNS, 4, 3, 32), 12288),
  integer8: decodedInFive(randomInteger("integer8", ROWS, COLUMNS, 8, 1, 64), 8192),
  codebook: decodedInFive(randomCodebook("codebook", ROWS, COLUMNS, 64), 6144),
  nf4: decodedInFive(randomNf4("nf4", ROWS, COLUMNS, "plain"), 8192),
  // Its shards start at multiples of 64 second-level scales, each for 256 x 64 weights.
  "nf4 double": {
    weight: randomNf4("double", 2125, 1024, "double"),
    layerBytes: 2 ** 19,
    decodedBytes: 2 ** 22,
  },
};

function decodedInFive(weight: WeightData, layerBytes: number): Sharded {
  return { weight, layerBytes, decodedBytes: 4 * 64 * COLUMNS };
}

for (const [format, { weight, layerBytes, decodedBytes }] of Object.entries(WEIGHTS)) {
  Deno.test(`in shards of rows: ${format}`, async () => {
    const layer = await withShards({ maxBindingBytes: layerBytes }, async (check) => {
      await check(linear(weight), "same bits");
      await check(linearTransposed(weight), "within bounds");
      await check(crossEntropyCase({ T: 3, head: weight, gradients: "hidden" }), "within bounds");
    });
    assert.equal(layer.sharded, 3);
    const decoded = await withShards({ maxBindingBytes: decodedBytes }, async (check) => {
      await check(dequantize(weight), "same bits");
    });
    assert.equal(decoded.sharded, 1);
  });
}

/** Tokens of the layers. */
const TOKENS = 3;

function linear(weight: WeightData): Case {
  const { rows, columns } = weight;
  return {
    label: "linear",
    weight,
    inputs: {
      input: { shape: [TOKENS, columns], data: randomFloats("input", TOKENS * columns) },
      bias: { shape: [rows], data: randomFloats("bias", rows) },
    },
    outputs: {
      output: {
        shape: [TOKENS, rows],
        initial: randomFloats("output", TOKENS * rows),
        terms: columns,
        magnitude: "absolute",
      },
    },
    record: (operations, tensor, weight) =>
      operations.linear({
        input: tensor("input"),
        weight,
        bias: tensor("bias"),
        output: tensor("output"),
        accumulate: true,
      }),
  };
}

function linearTransposed(weight: WeightData): Case {
  const { rows, columns } = weight;
  return {
    label: "linearTransposed",
    weight,
    inputs: {
      gradOutput: { shape: [TOKENS, rows], data: randomFloats("gradOutput", TOKENS * rows) },
    },
    outputs: { gradInput: { shape: [TOKENS, columns], terms: rows, magnitude: "absolute" } },
    record: (operations, tensor, weight) =>
      operations.linearTransposed({
        gradOutput: tensor("gradOutput"),
        weight,
        gradInput: tensor("gradInput"),
      }),
  };
}

function dequantize(weight: WeightData): Case {
  const { rows, columns } = weight;
  return {
    label: "dequantize",
    weight,
    inputs: {},
    outputs: { output: { shape: [rows, columns], terms: 1, magnitude: "absolute" } },
    record: (operations, tensor, weight) =>
      operations.dequantize({ weight, output: tensor("output") }),
  };
}

Deno.test("embedding and its gradient in shards of the vocabulary, with the same bits", async () => {
  // One shard is 64 rows of 3, 7 or 33 features, or fewer of 64.
  const { sharded } = await withShards({ maxBindingBytes: 9 * 2 ** 10 }, async (check) => {
    for (const operation of ["embedding", "embeddingBackward"]) {
      for (const testCase of casesOf(operation)) {
        // The offsets of 65 613 ids are one binding.
        if (!/Backward.*V=65613/.test(testCase.label)) await check(testCase, "same bits");
      }
    }
  });
  assert.equal(sharded, 3);
});

for (const profile of ["generic", "gpu"] as const) {
  Deno.test(`in shards, with kernels of class ${profile}`, async () => {
    const options = { profile, maxBindingBytes: 2 ** 15 };
    const dense = randomDense("dense", ROWS, COLUMNS);
    const { sharded } = await withShards(options, async (check) => {
      await check(linear(dense), "within bounds");
      await check(linearTransposed(dense), "within bounds");
      await check(crossEntropyCase({ T: 3, head: dense, gradients: "both" }), "within bounds");
    });
    assert.equal(sharded, 3);
  });
}

Deno.test("a tensor larger than a binding of this adapter is filled, looked up and read", async () => {
  const device = await openWebgpu();
  const rows = Math.ceil(device.profile.maxBindingBytes / (4 * 2 ** 16)) + 3;
  const shape = [rows, 2 ** 16];
  if (4 * rows * 2 ** 16 <= device.info.maxTensorBytes && rows < 4096) {
    const table = device.tensor("f32", shape, "large table");
    const tokens = device.tensor("u32", [3], "tokens");
    const output = device.tensor("f32", [3, 2 ** 16], "output");
    device.write(table, Float32Array.of(7), table.size - 1);
    device.write(tokens, Uint32Array.of(rows - 1, 0, rows - 2));
    device.run(device.record("large", (operations) => {
      operations.add({ left: table, right: table, output: table });
      operations.embedding({ tokens, table, output });
    }));
    const found = await device.readFloats(output);
    assert.equal(found.indexOf(14), 2 ** 16 - 1);
    assert.equal(found.lastIndexOf(14), 2 ** 16 - 1);
  } else {
    console.error("Skipped: a binding of this adapter is as large as a tensor may be");
  }
  device.close();
});

Deno.test("what a binding cannot hold is refused by name when it is recorded, and holds no memory", async () => {
  const device = await openWebgpu({ maxBindingBytes: 4096 });
  const input = device.tensor("f32", [64, 33], "hidden states");
  const weight = device.tensor("f32", [33], "norm.weight");
  const output = device.tensor("f32", [64, 33], "normed");
  const norm = device.tensor("f32", [2], "norm");
  const before = device.memory().current;
  assert.throws(
    () =>
      device.record("step", (operations) => {
        operations.gradientNorm({ gradients: [weight], maxNorm: 1, output: norm });
        operations.rmsNorm({ input, weight, output, epsilon: 1e-5 });
      }),
    {
      name: "RangeError",
      message:
        /"hidden states" \[64, 33\] .* binds 0\.0 MiB at once: use a smaller batch or length$/,
    },
  );
  // 64 rows of 33 features are the fewest that start where a view may.
  const table = device.tensor("f32", [100, 33], "embed_tokens");
  const tokens = device.tensor("u32", [1], "tokens");
  assert.throws(
    () =>
      device.record("lookup", (operations) => {
        operations.embedding({ tokens, table, output: device.view(output, 0, [1, 33]) });
      }),
    {
      name: "RangeError",
      message: /^64 rows of "embed_tokens" cannot .* binds 0\.0 MiB at once; use /,
    },
  );
  device.free(table);
  device.free(tokens);
  assert.equal(device.memory().current, before);
  device.close();
});
