import assert from "node:assert/strict";
import fc from "fast-check";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device } from "../../kernels/device.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { openWebgpu } from "../../kernels/webgpu/adapter.ts";
import { train } from "./loop.ts";
import { paddedLengths, RowLengths } from "./row_lengths.ts";
import { examplesOf } from "./testing/examples.ts";
import { fullModel } from "./testing/full_model.ts";
import { optionsOf } from "./testing/options.ts";

const LENGTH = 64;

Deno.test("property: a length is at most twice as long as the rows it is for", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 5000 }), fc.nat(), (length, seed) => {
      const lengths = paddedLengths(length);
      assert.equal(lengths[0], length);
      assert.equal(new Set(lengths).size, lengths.length);
      const least = lengths.at(-1) ?? length;
      const tokens = least + seed % (length - least + 1);
      const fitting = Math.min(...lengths.filter((value) => value >= tokens));
      assert.ok(fitting <= 2 * tokens, `${tokens} tokens are padded to ${fitting}`);
    }),
    { seed: 8 },
  );
});

interface Changes {
  /** Pad all batches to the longest row. */
  readonly pads?: boolean;
  readonly checkpointing?: boolean;
  /** Of an interrupted run. */
  readonly folder?: string;
  /** Step after which it is interrupted. */
  readonly stopAt?: number;
}

/** Trains on 40 rows of 2 to 64 tokens, those of a step of similar length. */
async function trained(device: Device, changes: Changes = {}) {
  const { pads = false, checkpointing = false, stopAt } = changes;
  const folder = changes.folder ?? await Deno.makeTempDir();
  const config = { model_type: "qwen3", head_dim: 8 };
  const batch = await fullModel(device, config, { batchSize: 2, length: LENGTH, checkpointing });
  const rowLengths = new RowLengths(batch);
  const lengths = Array.from({ length: 40 }, (_, index) => 2 + (index * 11) % 63);
  const controller = new AbortController();
  const used = new Set<number>();
  try {
    const { records } = await train({
      trainable: batch,
      rowLengths: pads ? null : {
        fitting(rows) {
          const fitting = rowLengths.fitting(rows);
          used.add(fitting.length);
          return fitting;
        },
      },
      dataset: examplesOf(lengths, LENGTH),
      evaluation: examplesOf([64, 5], LENGTH),
      options: optionsOf({
        ...{ steps: 12, batch_size: 2, accumulate: 2, length: LENGTH, group_by_length: true },
        ...{ evaluate_every: 5, log_every: 1 },
      }),
      seed: 2,
      checkpointFolder: folder,
      signal: controller.signal,
      report: ({ done }) => {
        if (done === stopAt) controller.abort(new Error("stop"));
      },
      log: () => {},
    });
    const values = await Promise.all(
      batch.slabs.map(async ({ parameters }) => [...await device.readFloats(parameters)]),
    );
    return { records, values: values.flat(), used: [...used].sort((left, right) => left - right) };
  } finally {
    rowLengths.release();
    if (changes.folder === undefined) await Deno.remove(folder, { recursive: true });
  }
}

for (
  const [kind, open, tolerance] of [
    ["reference", () => Promise.resolve(new ReferenceDevice()), 1e-9],
    ["cpu", () => openCpu({ threads: 2 }), 1e-3],
    ["webgpu", () => openWebgpu(), 1e-3],
  ] as const
) {
  Deno.test(`batches padded to their own rows train as those padded to the longest: ${kind}`, async () => {
    const device = await open();
    const [padded, fitted, recomputed] = [
      await trained(device, { pads: true }),
      await trained(device),
      await trained(device, { checkpointing: true }),
    ];
    assert.deepEqual(padded.used, []);
    assert.deepEqual(fitted.used, [16, 32, 48, 64], "batches of all lengths");
    fitted.records.forEach(({ loss }, step) => {
      const expected = padded.records[step]?.loss ?? NaN;
      assert.ok(Math.abs(loss - expected) <= tolerance * expected, `${loss}, not ${expected}`);
    });
    assert.deepEqual(recomputed.values, fitted.values);
    device.close();
  });
}

Deno.test("training on batches of several lengths, interrupted and continued, ends with the same bits", async () => {
  const device = await openCpu({ threads: 2 });
  const whole = await trained(device);
  for (const stopAt of [1, 6]) {
    const folder = await Deno.makeTempDir();
    await assert.rejects(trained(device, { folder, stopAt }), /^Error: stop$/);
    const { records, values } = await trained(device, { folder });
    assert.deepEqual(values, whole.values);
    assert.deepEqual(records, whole.records);
    await Deno.remove(folder, { recursive: true });
  }
  device.close();
});

Deno.test("shorter rows take no memory but for their recordings, and give it back", async () => {
  const device = new ReferenceDevice();
  const batch = await fullModel(device, {}, { batchSize: 4, length: LENGTH });
  batch.forwardBackward;
  const before = device.memory();
  const rowLengths = new RowLengths(batch);
  rowLengths.recordAll();
  rowLengths.release();
  assert.deepEqual(device.memory(), before, "the reference device needs no scratch memory");
  device.close();
});

Deno.test("shorter rows may be recorded before the longest, whose memory they share", async () => {
  const device = new ReferenceDevice();
  const batch = await fullModel(device, {}, { batchSize: 1, length: LENGTH });
  const rows = [examplesOf([20], LENGTH).example(0)];
  const fitting = new RowLengths(batch).fitting(rows);
  assert.equal(fitting.length, 32);
  assert.equal(fitting.forwardBackward.label, "forward and backward");
  assert.equal(fitting.forward.label, "forward");
  device.close();
});
