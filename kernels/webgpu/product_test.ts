import assert from "node:assert/strict";
import type { GroupedLinear, Tensor, Weight } from "../device.ts";
import { codeWords } from "../packing.ts";
import { randomFloats } from "../testing/arrays.ts";
import { type Case, checkCase } from "../testing/case.ts";
import { randomDense, randomInteger, type WeightData } from "../testing/weights.ts";
import { openWebgpu } from "./adapter.ts";
import { matmul } from "./gemm.ts";
import { linearGroup, linearGroupTransposed } from "./linear_group.ts";
import { lowRankBackward } from "./low_rank.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";

/** Small outputs of long reductions, which are cut into slices; the last slice is not full. */
const SLICED = [
  { orientation: "tn", M: 16, N: 40, K: 515 },
  { orientation: "tn", M: 5, N: 33, K: 300 },
  { orientation: "nt", M: 18, N: 7, K: 261 },
  { orientation: "nn", M: 33, N: 5, K: 300 },
  { orientation: "nn", M: 20, N: 64, K: 132 },
] as const;

function slicedCases(): Case[] {
  return SLICED.map(({ orientation, M, N, K }, index) => {
    const label = `${orientation} M=${M} N=${N} K=${K}`;
    const accumulate = index % 2 === 0;
    return {
      label,
      inputs: {
        left: {
          shape: orientation === "tn" ? [K, M] : [M, K],
          data: randomFloats(`${label} left`, M * K),
        },
        right: {
          shape: orientation === "nt" ? [N, K] : [K, N],
          data: randomFloats(`${label} right`, K * N),
        },
      },
      outputs: {
        output: {
          shape: [M, N],
          ...(accumulate ? { initial: randomFloats(`${label} output`, M * N) } : {}),
          terms: K,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.matmul({
          left: tensor("left"),
          right: tensor("right"),
          output: tensor("output"),
          orientation,
          scale: 0.75,
          accumulate,
        }),
    };
  });
}

for (const profile of ["auto", "generic"] as const) {
  Deno.test(`products with sliced reductions equal the reference, ${profile}`, async () => {
    const device = await openWebgpu({ profile });
    for (const testCase of slicedCases()) await checkCase(device, testCase);
    device.close();
  });
}

/** Products with few rows, also more than one dispatch takes and reductions that end within a chunk. */
const FEW_ROWS: readonly (readonly ["auto" | "generic", number, WeightData])[] = [
  ["auto", 2, randomInteger("two rows", 37, 96, 3, 1, 32)],
  ["auto", 1, randomInteger("one row", 70, 64, 8, 2, 64)],
  ["generic", 1, randomDense("one row", 7, 36)],
  ["generic", 5, randomInteger("five rows", 6, 160, 4, 1, 32)],
];

for (const [profile, M, weight] of FEW_ROWS) {
  const { rows: N, columns: K, format } = weight;
  Deno.test(`products of ${M} rows with a weight equal the reference, ${format} ${profile}`, async () => {
    const device = await openWebgpu({ profile });
    await checkCase(device, {
      label: `linear M=${M} K=${K} N=${N}`,
      weight,
      inputs: { input: { shape: [M, K], data: randomFloats(`input ${M} ${K}`, M * K) } },
      outputs: { output: { shape: [M, N], terms: K, magnitude: "absolute" } },
      record: (operations, tensor, weight) =>
        operations.linear({ input: tensor("input"), weight, output: tensor("output") }),
    });
    device.close();
  });
}

const PROFILES: readonly Profile[] = [
  profileOf("software", 8),
  profileOf("software", 4),
  profileOf("software", 0),
  profileOf("generic", 0),
  profileOf("gpu", 32),
];

function profileOf(kind: Profile["class"], subgroupSize: number): Profile {
  return {
    class: kind,
    subgroupSize,
    preamble: "",
    maxWorkgroupStorageBytes: 16384,
    maxWorkgroupInvocations: 256,
    maxWorkgroupsPerDimension: 65535,
    maxBindingBytes: 2 ** 27,
  };
}

function contextOf(profile: Profile): KernelContext {
  return { profile, scratch: (dtype, shape) => tensor(shape, dtype) };
}

function tensor(shape: readonly number[], dtype: Tensor["dtype"] = "f32"): Tensor {
  return { dtype, shape, size: shape.reduce((size, extent) => size * extent, 1), label: "planned" };
}

function int4(rows: number, columns: number, blockColumns: number): Weight {
  const blocks = [rows, columns / blockColumns];
  return {
    format: "integer",
    rows,
    columns,
    bits: 4,
    blockRows: 1,
    blockColumns,
    codes: tensor([rows, codeWords(4, columns)], "u32"),
    scales: tensor(blocks),
    zeros: tensor(blocks),
  };
}

/** A layer with an adapter of rank 4, maybe a bias, over `M` rows. */
function adaptedLayer(weight: Weight, M: number, bias: Tensor | null): GroupedLinear {
  const { rows: N, columns: K } = weight;
  return {
    weight,
    ...(bias ? { bias } : {}),
    output: tensor([M, N]),
    adapter: {
      a: tensor([4, K]),
      b: tensor([N, 4]),
      hidden: tensor([M, 4]),
      pool: 1,
      repeat: 1,
      scale: 1,
    },
  };
}

function doubleNf4(rows: number, columns: number): Weight {
  const blocks = rows * columns / 64;
  return {
    format: "nf4",
    rows,
    columns,
    codes: tensor([rows, codeWords(4, columns)], "u32"),
    absmax: {
      kind: "double",
      codes: tensor([Math.ceil(blocks / 4)], "u32"),
      scales: tensor([Math.ceil(blocks / 256)]),
      offset: tensor([1]),
    },
  };
}

function forwardAndBackward(context: KernelContext, tokens: number, weight: Weight): Dispatch[] {
  const { rows, columns } = weight;
  const [x, y] = [tensor([tokens, columns]), tensor([tokens, rows])];
  return [
    ...linear(context, { input: x, weight, bias: tensor([rows]), output: y }),
    ...linearTransposed(context, { gradOutput: y, weight, gradInput: x }),
  ];
}

Deno.test("layers of different shapes and group sizes share their modules", () => {
  for (const profile of PROFILES) {
    const context = contextOf(profile);
    const modules = new Set(
      [int4(128, 128, 32), int4(384, 128, 64), int4(256, 512, 128)].flatMap((weight) =>
        [64, 100, 256].flatMap((tokens) => forwardAndBackward(context, tokens, weight))
      ).map(({ code }) => code),
    );
    assert.equal(modules.size, 2, `${profile.class} with subgroups of ${profile.subgroupSize}`);
  }
});

Deno.test("products fit the eight storage buffers of every WebGPU device", () => {
  for (const profile of PROFILES) {
    for (
      const { label, bindings } of forwardAndBackward(contextOf(profile), 8, doubleNf4(64, 64))
    ) {
      assert.ok(bindings.length <= 8, `${label} binds ${bindings.length} buffers`);
    }
    for (const weight of [int4(64, 64, 32), doubleNf4(64, 64)]) {
      const layer = adaptedLayer(weight, 8, tensor([64]));
      const dispatches = linearGroup(contextOf(profile), {
        input: tensor([8, 64]),
        layers: [layer],
      });
      for (const { label, bindings } of dispatches) {
        assert.ok(bindings.length <= 8, `${label} binds ${bindings.length} buffers`);
      }
    }
  }
});

Deno.test("hardware computes layers that share an input at once, as far as bindings reach", () => {
  const M = 64;
  const layers = ["queries", "keys", "values"].map(() => adaptedLayer(int4(64, 64, 32), M, null));
  const input = tensor([M, 64]);
  const hidden = layers.length;
  for (const [maxStorageBuffers, expected] of [[32, 1], [13, 2], [8, 3]] as const) {
    const context = contextOf({ ...profileOf("gpu", 32), maxStorageBuffers });
    const dispatches = linearGroup(context, { input, layers });
    assert.equal(dispatches.length, hidden + expected, `${maxStorageBuffers} buffers`);
    for (const { bindings } of dispatches) assert.ok(bindings.length <= maxStorageBuffers);
    const gradients = layers.map(({ weight, output }) => ({ weight, gradOutput: output }));
    const backward = linearGroupTransposed(context, { layers: gradients, gradInput: input });
    assert.equal(backward.length, maxStorageBuffers >= 13 ? 1 : hidden);
    for (const { bindings } of backward) assert.ok(bindings.length <= maxStorageBuffers);
  }
});

Deno.test("without usable subgroups no product asks for them", () => {
  for (const profile of PROFILES.filter(({ subgroupSize }) => subgroupSize === 0)) {
    for (const { label, code } of forwardAndBackward(contextOf(profile), 8, int4(64, 64, 32))) {
      assert.ok(!code.includes("subgroup"), `${label} on ${profile.class}`);
    }
  }
});

Deno.test("workgroup memory stays within 16 KiB", () => {
  for (const profile of PROFILES) {
    const [left, right] = [tensor([1024, 64]), tensor([64, 1024])];
    const dispatches = matmul(contextOf(profile), {
      left,
      right,
      output: tensor([1024, 1024]),
      orientation: "nn",
    });
    for (const { code } of dispatches) {
      const vectors = [...code.matchAll(/var<workgroup> \w+: array<vec4<f32>, (\d+)>/g)]
        .reduce((sum, match) => sum + Number(match[1]), 0);
      assert.ok(16 * vectors <= 16384, `${profile.class} takes ${16 * vectors} bytes`);
    }
  }
});

Deno.test("gradients of adapters are cut into enough workgroups, whatever the rank", () => {
  const context = contextOf(profileOf("software", 8));
  for (const rank of [4, 16, 64]) {
    const [M, K, N] = [2048, 128, 128];
    const dispatches = lowRankBackward(context, {
      input: tensor([M, K]),
      a: tensor([rank, K]),
      b: tensor([N, rank]),
      pool: 1,
      repeat: 1,
      scale: 1,
      hidden: tensor([M, rank]),
      gradOutput: tensor([M, N]),
      gradA: tensor([rank, K]),
      gradB: tensor([N, rank]),
      gradInput: tensor([M, K]),
    });
    for (const { label, workgroups: [x, y, z] } of dispatches) {
      assert.ok(x * y * z >= 16, `${label} at rank ${rank}: ${x} x ${y} x ${z} workgroups`);
    }
  }
});
