/**
 * Packed rows teach what their examples teach alone.
 *
 * @module
 */

import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device } from "../../kernels/device.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { openWebgpu } from "../../kernels/webgpu/adapter.ts";
import type { Dataset, Example } from "../data/dataset.ts";
import { PackedRows } from "../data/packed_rows.ts";
import type { BatchOptions } from "../models/batch_model.ts";
import { countTargets, writeRows } from "./batch.ts";
import { train } from "./loop.ts";
import { scoreRows } from "./score.ts";
import { examplesOf } from "./testing/examples.ts";
import { fullModel } from "./testing/full_model.ts";
import { optionsOf } from "./testing/options.ts";

const ARCHITECTURES: Record<string, Record<string, unknown>> = {
  "llama": {},
  "mistral with a window": { model_type: "mistral", sliding_window: 3 },
  "qwen3 with q/k norms": { model_type: "qwen3", head_dim: 8 },
};

function allRows(dataset: Dataset): Example[] {
  return Array.from({ length: dataset.size }, (_, index) => dataset.example(index));
}

/** The loss of every target in the examples' order, and the gradients of all of them together. */
async function learned(
  device: Device,
  json: Record<string, unknown>,
  dataset: Dataset,
  options: Partial<BatchOptions>,
) {
  const rows = allRows(dataset);
  const { length } = dataset;
  const batch = await fullModel(device, json, { batchSize: rows.length, length, ...options });
  const losses = (await scoreRows(batch, rows)).flatMap((scores) => [...scores].filter(Boolean));
  writeRows(batch, rows, 1 / countTargets(rows));
  device.run(batch.forwardBackward);
  const gradients = await Promise.all(
    batch.slabs.map(async ({ gradients }) => [...await device.readFloats(gradients)]),
  );
  batch.release();
  return { losses: losses.sort((left, right) => left - right), gradients: gradients.flat() };
}

function assertNear(actual: readonly number[], expected: readonly number[], tolerance: number) {
  assert.equal(actual.length, expected.length);
  const largest = Math.max(...expected.map(Math.abs));
  const error = Math.max(
    ...actual.map((value, index) => Math.abs(value - (expected[index] ?? NaN))),
  );
  assert.ok(error <= tolerance * largest, `${error} apart; the largest is ${largest}`);
}

// Examples of one token, of a whole row, and some that share one: 12 | 7 + 4 + 1 | 5 + 3 + 2 + 1.
const LENGTHS = [7, 1, 12, 5, 4, 2, 3, 1];

for (const [name, json] of Object.entries(ARCHITECTURES)) {
  for (
    const [kind, open, tolerance] of [
      ["reference", () => Promise.resolve(new ReferenceDevice()), 1e-12],
      ["cpu", () => openCpu({ threads: 2 }), 1e-5],
      ["webgpu", () => openWebgpu(), 1e-5],
    ] as const
  ) {
    Deno.test(`packed examples give the losses and gradients of examples alone: ${name}, ${kind}`, async () => {
      const device = await open();
      const examples = examplesOf(LENGTHS, 12);
      const packed = new PackedRows(examples);
      assert.ok(packed.size < examples.size / 2);
      const alone = await learned(device, json, examples, {});
      const together = await learned(device, json, packed, { packed: true });
      assertNear(together.losses, alone.losses, tolerance);
      assertNear(together.gradients, alone.gradients, tolerance);
      if (kind === "reference") {
        const options = { packed: true, checkpointing: true };
        assert.deepEqual(await learned(device, json, packed, options), together);
        const unmasked: Dataset = {
          ...{ size: packed.size, length: packed.length, tokens: packed.tokens },
          example(index) {
            const { starts: _, ...row } = packed.example(index);
            return row;
          },
        };
        const seen = await learned(device, json, unmasked, { packed: true });
        assert.throws(() => assertNear(seen.losses, alone.losses, 1e-3), "the mask matters");
      }
      device.close();
    });
  }
}

Deno.test("a model that is set up for packed rows takes rows of one example as they are", async () => {
  const device = new ReferenceDevice();
  const examples = examplesOf([7, 12, 5], 12);
  const plain = await learned(device, {}, examples, {});
  assert.deepEqual(await learned(device, {}, examples, { packed: true }), plain);
});

Deno.test("a model that is not set up for packed rows refuses them", async () => {
  const device = new ReferenceDevice();
  const batch = await fullModel(device, {}, { batchSize: 1, length: 12 });
  const [row] = allRows(new PackedRows(examplesOf([5, 4], 12)));
  assert.throws(
    () => writeRows(batch, row ? [row] : [], 1),
    /A row is packed; the model is set up/,
  );
});

Deno.test("padding behind packed examples is made of examples of one token", async () => {
  const device = new ReferenceDevice();
  const options = { batchSize: 2, length: 7, packed: true };
  const batch = await fullModel(device, {}, options);
  writeRows(batch, allRows(new PackedRows(examplesOf([3, 2], 7))), 1);
  const { starts, positions } = batch.packing ?? assert.fail("not packed");
  assert.deepEqual([...await device.readWords(starts)], [0, 0, 0, 3, 3, 5, 6, 0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual([...await device.readWords(positions)], [
    ...[0, 1, 2, 0, 1, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 0],
  ]);
});

Deno.test("training on packed rows, aborted in any step and continued, ends with the same bits", async () => {
  const options = optionsOf({
    steps: 5,
    length: 12,
    batch_size: 2,
    packing: true,
    log_every: 2,
    evaluate_every: 2,
  });
  const lengths = Array.from({ length: 30 }, (_, index) => 1 + (index * 5) % 12);
  const dataset = new PackedRows(examplesOf(lengths, 12));
  const run = async (folder: string, stop: number | null) => {
    const device = await openCpu({ threads: 2 });
    const controller = new AbortController();
    const batch = await fullModel(device, {}, {
      ...{ batchSize: 2, length: 12, packed: true },
    });
    let reads = 0;
    try {
      const result = await train({
        trainable: batch,
        dataset: {
          ...{ size: dataset.size, length: 12, tokens: dataset.tokens },
          example(index) {
            if (stop !== null && ++reads === 2 * stop) controller.abort(new Error("stop"));
            return dataset.example(index);
          },
        },
        evaluation: dataset,
        options,
        seed: 4,
        checkpointFolder: folder,
        signal: controller.signal,
        report: () => {},
        log: () => {},
      });
      const values = await Promise.all(
        batch.slabs.map(({ parameters }) => device.readFloats(parameters)),
      );
      return { resumedFrom: result.resumedFrom, records: result.records, values };
    } finally {
      device.close();
    }
  };
  const inFolder = async <T>(body: (folder: string) => Promise<T>) => {
    const folder = await Deno.makeTempDir();
    try {
      return await body(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  };
  const whole = await inFolder((folder) => run(folder, null));
  for (const stop of [1, 3]) {
    const resumed = await inFolder(async (folder) => {
      await assert.rejects(run(folder, stop), /^Error: stop$/);
      return await run(folder, null);
    });
    assert.equal(resumed.resumedFrom, stop);
    assert.deepEqual(resumed.values, whole.values);
    assert.deepEqual(resumed.records, whole.records);
  }
});
