// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import type { Tensor } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { modelLinears, plainTensors } from "./architecture.ts";
import { BatchModel } from "./batch_model.ts";
import { parseConfig } from "./config.ts";
import { type AdapterPlacement, loadLanguageModel } from "./language_model.ts";
import { ParameterSpace } from "./parameters.ts";
import { RandomModel } from "./random_model.ts";

const BATCH = 2;
const LENGTH = 5;
const SMALL = {
  hidden_size: 16,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 11,
  max_position_embeddings: 16,
};

/** Architectures that differ in what trains, is normalized, rotated or tied. */
const ARCHITECTURES: Record<string, Record<string, unknown>> = {
  llama: { ...SMALL, model_type: "llama" },
  "llama, tied, interleaved rotation": {
    ...SMALL,
    tie_word_embeddings: true,
    rope_interleave: true,
  },
  "mistral with a window": { ...SMALL, model_type: "mistral", sliding_window: 3 },
  "qwen2 with biases": { ...SMALL, model_type: "qwen2", use_sliding_window: false },
  "qwen3 with q/k norms": { ...SMALL, model_type: "qwen3", head_dim: 8 },
};

function fill(batch: BatchModel): void {
  const { device } = batch;
  const count = BATCH * LENGTH;
  const tokens = Uint32Array.from({ length: count }, (_, index) => (7 * index + 3) % 11);
  const targets = Uint32Array.from({ length: count }, (_, index) => (7 * index + 10) % 11);
  const weights = Float64Array.from(
    { length: count },
    (_, index) => index % LENGTH === LENGTH - 1 ? 0 : 1 / 8,
  );
  device.write(batch.tokens, tokens);
  device.write(batch.targets, targets);
  device.write(batch.weights, weights);
  if (batch.tokenIndex === null) return;
  const order = [...tokens.keys()].sort((left, right) =>
    tokens[left]! - tokens[right]! || left - right
  );
  const offsets = Uint32Array.from(
    { length: 12 },
    (_, id) => tokens.filter((token) => token < id).length,
  );
  device.write(batch.tokenIndex.order, Uint32Array.from(order));
  device.write(batch.tokenIndex.offsets, offsets);
}

async function loss(batch: BatchModel): Promise<number> {
  batch.device.run(batch.forward);
  const [losses, weights] = await Promise.all([
    batch.device.readFloats(batch.losses),
    batch.device.readFloats(batch.weights),
  ]);
  return Array.from(losses).reduce((sum, value, index) => sum + value * weights[index]!, 0);
}

function gradientsOf(batch: BatchModel): Promise<Float64Array[]> {
  const { device } = batch;
  for (const { gradients } of batch.slabs) {
    device.write(gradients, new Float64Array(gradients.size));
  }
  device.run(batch.forwardBackward);
  return Promise.all(
    batch.slabs.map(async ({ gradients }) => Float64Array.from(await device.readFloats(gradients))),
  );
}

/** Shifts `tensor` along a random direction and compares the slope of the loss with the gradient. */
async function checkSlope(
  batch: BatchModel,
  values: Tensor,
  gradient: Float64Array,
  seed: number,
): Promise<void> {
  const { device } = batch;
  const random = new RandomStream(seed, "direction");
  const direction = Float64Array.from({ length: values.size }, (_, index) => random.normal(index));
  const start = Float64Array.from(await device.readFloats(values));
  const step = 1e-5;
  const at = async (factor: number) => {
    device.write(values, start.map((value, index) => value + factor * step * direction[index]!));
    return await loss(batch);
  };
  const slope = (await at(1) - await at(-1)) / (2 * step);
  device.write(values, start);
  const expected = gradient.reduce((sum, value, index) => sum + value * direction[index]!, 0);
  assert.ok(
    Math.abs(slope - expected) <= 1e-6 * Math.max(1, Math.abs(expected)),
    `the loss falls by ${slope}, the gradient says ${expected}`,
  );
}

for (const [name, json] of Object.entries(ARCHITECTURES)) {
  Deno.test(`BatchModel has the gradient of every weight: ${name}`, async () => {
    const device = new ReferenceDevice();
    const config = parseConfig(json, name);
    const shapes = [
      ...plainTensors(config).map((tensor) => ({ ...tensor, decay: true })),
      ...modelLinears(config).map(({ path, rows, columns }) => ({
        name: `${path}.weight`,
        shape: [rows, columns],
        decay: true,
      })),
    ];
    const space = new ParameterSpace(device, shapes);
    const model = await loadLanguageModel(device, new RandomModel(config, 3, 0.4), space);
    // Random biases and norms, so that they matter.
    for (const name of space.names()) {
      if (!name.endsWith(".bias") && !name.endsWith("norm.weight")) continue;
      const { value } = space.get(name)!;
      const random = new RandomStream(5, name);
      device.write(
        value,
        Float64Array.from({ length: value.size }, (_, i) => 0.5 + 0.3 * random.normal(i)),
      );
    }
    const batch = new BatchModel(model, { batchSize: BATCH, length: LENGTH });
    fill(batch);
    await gradientsOf(batch);
    for (const [seed, name] of [...space.names()].entries()) {
      const { value, gradient } = space.get(name)!;
      const slope = Float64Array.from(await device.readFloats(gradient!));
      assert.ok(slope.some((value) => value !== 0), `${name} has a gradient`);
      await checkSlope(batch, value, slope, seed);
    }
    batch.release();
  });
}

function adapters(device: ReferenceDevice, frozen: readonly number[]): {
  shapes: { name: string; shape: number[]; decay: boolean }[];
  placement: AdapterPlacement;
} {
  const config = parseConfig(ARCHITECTURES.llama, "llama");
  const adapted = modelLinears(config).filter(({ layer }) => !frozen.includes(layer));
  return {
    shapes: adapted.flatMap(({ path, rows, columns }) => [
      { name: `${path}.a`, shape: [3, columns / 2], decay: true },
      { name: `${path}.b`, shape: [rows / 4, 3], decay: true },
    ]),
    placement: ({ path, rows, columns, layer }, parameters) => {
      if (frozen.includes(layer)) return null;
      const a = parameters.place(`${path}.a`, [3, columns / 2]);
      const b = parameters.place(`${path}.b`, [rows / 4, 3]);
      for (const { value } of [a, b]) {
        const random = new RandomStream(9, value.label);
        device.write(value, Float64Array.from({ length: value.size }, (_, i) => random.normal(i)));
      }
      return { a, b, rank: 3, pool: 2, repeat: 4, scale: 0.7 };
    },
  };
}

for (const frozen of [[], [0]]) {
  Deno.test(`BatchModel has the gradient of adapters, layers ${frozen} frozen`, async () => {
    const device = new ReferenceDevice();
    const source = new RandomModel(parseConfig(ARCHITECTURES.llama, "llama"), 3, 0.4);
    const { shapes, placement } = adapters(device, frozen);
    const space = new ParameterSpace(device, shapes);
    const model = await loadLanguageModel(device, source, space, placement);
    const batch = new BatchModel(model, { batchSize: BATCH, length: LENGTH });
    fill(batch);
    await gradientsOf(batch);
    for (const [seed, name] of [...space.names()].entries()) {
      const { value, gradient } = space.get(name)!;
      const slope = Float64Array.from(await device.readFloats(gradient!));
      assert.ok(slope.some((value) => value !== 0), `${name} has a gradient`);
      await checkSlope(batch, value, slope, seed);
    }
  });
}

Deno.test("BatchModel computes the same bits with activation checkpointing", async () => {
  const results = [];
  for (const checkpointing of [false, true]) {
    const device = new ReferenceDevice();
    const source = new RandomModel(parseConfig(ARCHITECTURES.llama, "llama"), 3, 0.4);
    const { shapes, placement } = adapters(device, []);
    const space = new ParameterSpace(device, shapes);
    const model = await loadLanguageModel(device, source, space, placement);
    const batch = new BatchModel(model, { batchSize: BATCH, length: LENGTH, checkpointing });
    fill(batch);
    const gradients = await gradientsOf(batch);
    results.push({ gradients, memory: device.memory().peak });
  }
  assert.deepEqual(results[0]!.gradients, results[1]!.gradients);
  assert.ok(results[1]!.memory < results[0]!.memory, "checkpointing saves memory");
});

Deno.test("BatchModel frees what it allocated", async () => {
  const device = new ReferenceDevice();
  const source = new RandomModel(parseConfig(ARCHITECTURES.llama, "llama"), 3);
  const model = await loadLanguageModel(device, source);
  const before = device.memory().current;
  const batch = new BatchModel(model, { batchSize: BATCH, length: LENGTH });
  fill(batch);
  for await (const logits of batch.logits(4)) assert.equal(logits.length % 11, 0);
  batch.release();
  assert.equal(device.memory().current, before);
});

Deno.test("BatchModel refuses rows longer than the model's positions", async () => {
  const device = new ReferenceDevice();
  const source = new RandomModel(parseConfig(ARCHITECTURES.llama, "llama"), 3);
  const model = await loadLanguageModel(device, source);
  assert.throws(
    () => new BatchModel(model, { batchSize: 1, length: 17 }),
    /Rows of 17 tokens do not fit the model's 16 positions/,
  );
});

Deno.test("BatchModel evaluates adapters that the first block lacks", async () => {
  const losses = [];
  for (const trained of [true, false]) {
    const device = new ReferenceDevice();
    const source = new RandomModel(parseConfig(ARCHITECTURES.llama, "llama"), 3, 0.4);
    const { shapes, placement } = adapters(device, [0]);
    const space = new ParameterSpace(device, trained ? shapes : []);
    const model = await loadLanguageModel(device, source, space, placement);
    const batch = new BatchModel(model, { batchSize: BATCH, length: LENGTH });
    fill(batch);
    losses.push(await loss(batch));
  }
  assert.equal(losses[1], losses[0]);
});
