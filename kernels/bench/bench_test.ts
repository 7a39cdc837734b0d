import assert from "node:assert/strict";
import { packCodes } from "../packing.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { openWebgpu } from "../webgpu/adapter.ts";
import { type Benchmark, benchmarkOf } from "./benchmark.ts";
import { copyCeiling, fmaCeiling, fmaDispatch } from "./ceilings.ts";
import { layerBenchmarks } from "./layers.ts";
import { chooseClock, measure } from "./measure.ts";
import { productBenchmarks } from "./products.ts";
import { startFmaThreads } from "./cpu_ceiling.ts";
import type { BenchmarkSize } from "./shapes.ts";
import { kernelBenchmarks } from "./suite.ts";
import { weightBytes, Workspace } from "./workspace.ts";

const TINY: BenchmarkSize = {
  tokens: 2,
  inputs: 128,
  outputs: 64,
  attention: { batch: 1, length: 3, heads: 2, kvHeads: 1, headDim: 4 },
  head: { tokens: 2, vocabulary: 5 },
  parameters: 64,
};

/** Simulated time: the device needs 100 ms for a call, and its promises come 11 ms late. */
class SlowDevice extends ReferenceDevice {
  time = 0;
  queued = 0;
  readonly #waitsInCall: boolean;

  constructor(waitsInCall: boolean) {
    super();
    this.#waitsInCall = waitsInCall;
  }

  override settle(): Promise<void> {
    const work = 100 * this.queued;
    this.queued = 0;
    if (this.#waitsInCall) this.time += work;
    return Promise.resolve().then(() => {
      this.time += this.#waitsInCall ? 11 : work;
    });
  }
}

function slowBenchmark(device: SlowDevice, log: (number | "released")[] = []): Benchmark {
  return {
    suite: "test",
    name: "slow",
    shape: "",
    work: {},
    large: false,
    prepare: () => ({
      queue(calls) {
        log.push(calls);
        device.queued += calls;
      },
      release: () => log.push("released"),
    }),
  };
}

Deno.test("chooseClock() finds out whether the call or the promise waits for the device", async () => {
  for (const [waitsInCall, clock] of [[true, "call"], [false, "promise"]] as const) {
    const device = new SlowDevice(waitsInCall);
    const log: (number | "released")[] = [];
    assert.equal(await chooseClock(device, slowBenchmark(device, log), () => device.time), clock);
    assert.equal(log.at(-1), "released");
  }
});

Deno.test("measure() leaves the late promise out and repeats short calls", async () => {
  const device = new SlowDevice(true);
  const log: (number | "released")[] = [];
  const effort = { samples: 3, sampleSeconds: 0.35 };
  const { calls, seconds } = await measure(
    device,
    slowBenchmark(device, log),
    "call",
    effort,
    () => device.time,
  );
  assert.equal(calls, 4); // the first number of 100 ms that reaches 350 ms
  assert.deepEqual(seconds, [0.1, 0.1, 0.1]);
  assert.deepEqual(log, [1, 1, 4, 4, 4, 4, "released"]);
});

Deno.test("every benchmark of a kernel runs and gives its memory back", async () => {
  const device = new ReferenceDevice();
  const benchmarks = [...productBenchmarks(TINY), ...layerBenchmarks(TINY)].map(benchmarkOf);
  for (const { name, work, prepare } of benchmarks) {
    const before = device.memory().current;
    const job = await prepare(device);
    job.queue(1);
    job.queue(2);
    await device.settle();
    job.release();
    assert.equal(device.memory().current, before, `${name} frees its tensors`);
    assert.ok((work.bytes ?? 0) > 0 && (work.flops ?? 1) > 0, `${name} states its work`);
  }
});

Deno.test("the work of kernels is counted from their mathematics", () => {
  const work = new Map(
    [...productBenchmarks(TINY), ...layerBenchmarks(TINY)].map(({ name, work }) => [name, work]),
  );
  assert.deepEqual(work.get("linear dense"), {
    flops: 2 * 2 * 128 * 64,
    bytes: 4 * (2 * 128 + 64 * 128 + 2 * 64),
  });
  // 4 bits for a weight, two floats for each of 64 x 128 / 64 groups.
  assert.equal(work.get("linear int4")?.bytes, 4 * (2 * 128 + 2 * 64) + 4096 + 8 * 128);
  // Queries see 1 + 2 + 3 keys in 2 heads of 4 features; two products forward, five backward.
  assert.equal(work.get("attention")?.flops, 2 * (2 * 6 * 2 * 4));
  assert.equal(work.get("attentionBackward")?.flops, 5 * (2 * 6 * 2 * 4));
  assert.equal(work.get("adamw")?.bytes, 7 * 4 * 64);
});

Deno.test("weights of benchmarks have the size that their bytes say", () => {
  const device = new ReferenceDevice();
  const workspace = new Workspace(device);
  const weight = workspace.weight("int3", 2, 64);
  assert.equal(weight.format, "integer");
  const words = packCodes(new Uint8Array(128), 3, 2, 64).length;
  assert.equal(weightBytes("int3", 2, 64), 4 * words + 2 * 4 * 2);
  assert.equal(weightBytes("dense", 2, 64), 4 * 128);
  // Half a byte for each weight, one for each block of 64.
  assert.equal(weightBytes("nf4", 2, 64), 64 + 2);
  workspace.release();
});

Deno.test("names and shapes tell all benchmarks apart", () => {
  const names = kernelBenchmarks().map(({ name, shape }) => `${name} ${shape}`);
  assert.equal(new Set(names).size, names.length);
});

Deno.test("the reference device has no ceiling of multiply-adds, but one of copies", async () => {
  const device = new ReferenceDevice();
  assert.equal(fmaCeiling(device), null);
  assert.equal(copyCeiling.work.bytes, 2 * 64 * 2 ** 20);
  await device.settle();
});

Deno.test("the ceiling of multiply-adds computes what it says", async () => {
  const device = await openWebgpu();
  try {
    const output = device.tensor("f32", [128], "sums");
    const recording = device.recordKernels("fma", (context) => [fmaDispatch(context, output)]);
    device.run(recording);
    // x = 0.5 x + 1 ends at 2, whatever it starts from: three vectors of four.
    assert.deepEqual([...await device.readFloats(output)], new Array(128).fill(24));
  } finally {
    device.close();
  }
});

for (const bits of [128, 256] as const) {
  Deno.test(`the ceiling of WebAssembly at ${bits} bits computes what it says, on every thread`, async () => {
    const job = await startFmaThreads(2, bits);
    job.queue(1);
    await job.settle?.();
    for (const thread of [0, 1]) {
      assert.deepEqual(job.chains(thread), new Array(48 * bits / 128).fill(2));
    }
    job.release();
  });
}
