import assert from "node:assert/strict";
import { openCpu } from "../cpu/device.ts";
import { cpuMemory } from "../cpu/memory_model.ts";
import type { Device, Operations, Tensor } from "../device.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { openWebgpu } from "../webgpu/adapter.ts";
import { CountingDevice } from "./device.ts";
import { type MemoryModel, plainMemory } from "./memory_model.ts";

const [TOKENS, WIDTH, VOCABULARY, RANK] = [96, 64, 300, 4];

/** Allocates and frees, and records operations that need scratch; returns what was recorded. */
function exercise(device: Device): () => void {
  const tensors = new Map<string, Tensor>();
  const make = (label: string, ...shape: number[]) => {
    const tensor = device.tensor(label === "targets" ? "u32" : "f32", shape, label);
    tensors.set(label, tensor);
    return tensor;
  };
  device.free(make("early", 1000, 1000));
  const hidden = make("hidden", TOKENS, WIDTH);
  const record = (label: string, build: (operations: Operations) => void) =>
    device.record(label, build);
  const head = {
    format: "dense",
    rows: VOCABULARY,
    columns: WIDTH,
    values: make("head", VOCABULARY, WIDTH),
  } as const;
  const loss = {
    hidden,
    head,
    targets: make("targets", TOKENS),
    weights: make("weights", TOKENS),
    losses: make("losses", TOKENS),
    gradHidden: make("gradHidden", TOKENS, WIDTH),
    gradHead: make("gradHead", VOCABULARY, WIDTH),
  };
  const factors = {
    input: device.view(hidden, 0, [TOKENS, WIDTH]),
    a: make("a", RANK, WIDTH / 2),
    b: make("b", WIDTH / 4, RANK),
    pool: 2,
    repeat: 4,
    scale: 0.5,
    hidden: make("inner", TOKENS, RANK),
  };
  const recordings = [
    record("loss", (operations) => operations.crossEntropy(loss)),
    record("adapter", (operations) => {
      operations.lowRank({ ...factors, output: loss.gradHidden });
      operations.lowRankBackward({
        ...factors,
        gradOutput: loss.gradHidden,
        gradA: make("gradA", RANK, WIDTH / 2),
        gradB: make("gradB", WIDTH / 4, RANK),
        gradInput: make("gradInput", TOKENS, WIDTH),
      });
      operations.columnSum({ input: loss.gradHidden, output: make("sum", WIDTH) });
    }),
  ];
  return () => recordings.forEach((recording) => recording.release());
}

/** What one device holds, before and after its recordings are released, beside what was counted. */
function compare(device: Device, model: MemoryModel): void {
  const counting = new CountingDevice(model);
  const before = device.memory().current;
  const [release, releaseCounted] = [exercise(device), exercise(counting)];
  const { current, peak } = device.memory();
  assert.ok(counting.memory().current > 0);
  assert.equal(counting.memory().current, current - before);
  assert.equal(counting.memory().peak, peak - before);
  release();
  releaseCounted();
  assert.equal(counting.memory().current, device.memory().current - before);
}

Deno.test("counted memory is that of the reference device", () => {
  using stack = new DisposableStack();
  const device = stack.adopt(new ReferenceDevice(), (device) => device.close());
  compare(device, plainMemory("reference", 2 ** 32, 8));
});

Deno.test("counted memory is that of the CPU device, scratch and commands included", async () => {
  using stack = new DisposableStack();
  const device = stack.adopt(await openCpu({ threads: 1 }), (device) => device.close());
  compare(device, cpuMemory(device.info));
});

Deno.test("counted memory is that of WebGPU, scratch and uniforms included", async () => {
  using stack = new DisposableStack();
  const device = stack.adopt(await openWebgpu(), (device) => device.close());
  compare(device, device.memoryModel());
});

Deno.test("a counting device refuses wrong shapes and double frees, and reads nothing", async () => {
  const device = new CountingDevice(plainMemory("test", 2 ** 20));
  const [left, right] = [device.tensor("f32", [4], "left"), device.tensor("f32", [5], "right")];
  assert.throws(
    () => device.record("sum", (operations) => operations.add({ left, right, output: left })),
    /right "right" has 5 elements/,
  );
  assert.throws(() => device.view(left, 64, [4]), /Cannot view 4 elements at offset 64 of "left"/);
  device.free(left);
  assert.throws(() => device.free(left), /Cannot free "left"/);
  await assert.rejects(device.readFloats(right), /a counting device computes nothing/);
});

Deno.test("gigabytes are counted without being held, and the largest tensor is known", () => {
  const device = new CountingDevice(plainMemory("test", 2 ** 20));
  device.tensor("f32", [2 ** 20, 2 ** 18], "a terabyte");
  assert.equal(device.memory().peak, 2 ** 40);
  assert.deepEqual(device.largestTensor, { label: "a terabyte", bytes: 2 ** 40 });
  device.close();
  assert.equal(device.memory().current, 0);
});
