import assert from "node:assert/strict";
import { type Device, DeviceError, type Recording, type Tensor } from "../device.ts";
import { randomFloats, randomIntegers } from "../testing/arrays.ts";
import { openCpu } from "./device.ts";
import { QUEUE } from "./thread_queue.ts";
import { usesWideVectors } from "./wide_vectors.ts";

const [M, D, N, R] = [150, 72, 200, 8] as const;

/** Two steps of a layer with an adapter: what every trained and every intermediate tensor holds. */
async function train(device: Device): Promise<Record<string, Float32Array | Float64Array>> {
  const floats: Record<string, Tensor> = {};
  const make = (name: string, ...shape: number[]) => {
    const tensor = device.tensor("f32", shape, name);
    device.write(tensor, randomFloats(name, tensor.size));
    return floats[name] = tensor;
  };
  const input = make("input", M, D);
  const [norm, normed] = [make("norm weight", D), make("normed", M, D)];
  const weight = { format: "dense", rows: N, columns: D, values: make("weight", N, D) } as const;
  const [output, gated] = [make("output", M, N), make("gated", M, N)];
  const [a, b, hidden] = [make("a", R, D), make("b", N, R), make("hidden", M, R)];
  const key = device.tensor("u32", [2], "key");
  device.write(key, randomIntegers("key", 2, 2 ** 32));
  const dropout = { rate: 0.25, key, stream: 1 };
  const adapter = { input: normed, a, b, pool: 1, repeat: 1, scale: 0.5, dropout, hidden };
  const [gradGate, gradUp] = [make("gradGate", M, N), make("gradUp", M, N)];
  const [gradA, gradB] = [make("gradA", R, D), make("gradB", N, R)];
  const [gradNormed, gradInput] = [make("gradNormed", M, D), make("gradInput", M, D)];
  const [gradNorm, gradBias] = [make("gradNorm", D), make("gradBias", N)];
  const [clip, hyper] = [make("clip", 2), make("hyper", 8)];
  device.write(hyper, Float32Array.of(0.01, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001, 0));
  const moments = [make("moment1", R, D), make("moment2", R, D)] as const;
  device.write(moments[1], randomFloats("moment2", R * D, 0, 1));
  const recording = device.record("step", (operations) => {
    operations.rmsNorm({ input, weight: norm, output: normed, epsilon: 1e-5 });
    operations.linear({ input: normed, weight, output });
    operations.lowRank({ ...adapter, output });
    operations.swiglu({ gate: output, up: output, output: gated });
    operations.swigluBackward({ gate: output, up: gated, gradOutput: gated, gradGate, gradUp });
    operations.linearTransposed({ gradOutput: gradGate, weight, gradInput: gradNormed });
    operations.lowRankBackward({
      ...adapter,
      gradOutput: gradGate,
      gradA,
      gradB,
      gradInput: gradNormed,
    });
    operations.rmsNormBackward({
      input,
      weight: norm,
      gradOutput: gradNormed,
      gradInput,
      gradWeight: gradNorm,
      epsilon: 1e-5,
    });
    operations.columnSum({ input: gradUp, output: gradBias });
    operations.gradientNorm({ gradients: [gradA, gradB], maxNorm: 1, output: clip });
    operations.adamw({
      parameters: a,
      gradients: gradA,
      moment1: moments[0],
      moment2: moments[1],
      hyper,
      norm: clip,
    });
  });
  device.run(recording);
  device.run(recording);
  const results: Record<string, Float32Array | Float64Array> = {};
  for (const [name, tensor] of Object.entries(floats)) {
    results[name] = await device.readFloats(tensor);
    assert.ok(results[name]?.every(Number.isFinite), `${name} is finite`);
  }
  return results;
}

Deno.test("training gives the same bits on any number of threads", async () => {
  const results = [];
  for (const threads of [1, 2, 3]) {
    const device = await openCpu({ threads });
    results.push(await train(device));
    device.close();
  }
  assert.deepEqual(results[1], results[0]);
  assert.deepEqual(results[2], results[0]);
});

Deno.test("out of memory is an error that leaves the device usable", async () => {
  const device = await openCpu({ threads: 1, memoryBytes: 2 ** 24 });
  const small = device.tensor("f32", [1000], "small");
  device.tensor("f32", [2 ** 20], "first");
  assert.throws(() => device.tensor("f32", [3 * 2 ** 20], "second"), {
    name: "DeviceError",
    message: /second.*smaller/,
  });
  device.run(device.record("fill", (operations) => operations.fill({ output: small, value: 2 })));
  assert.ok((await device.readFloats(small)).every((value) => value === 2));
  device.close();
});

Deno.test("closing while work is queued ends what waits, and everything after", async () => {
  const device = await openCpu({ threads: 2 });
  const tensor = device.tensor("f32", [2 ** 20], "large");
  const recording = device.record("fill", (operations) => {
    for (let i = 0; i < 20; i++) operations.fill({ output: tensor, value: i });
  });
  for (let i = 0; i < 20; i++) device.run(recording);
  const settled = device.settle();
  device.close();
  await assert.rejects(settled, DeviceError);
  assert.throws(() => device.run(recording), DeviceError);
  await assert.rejects(device.settle(), DeviceError);
});

/** Without bounds checks nothing traps. */
const SKIPPED = usesWideVectors() ? " (skipped: without bounds checks nothing traps)" : "";

function trap(device: Device): Recording {
  const gradOutput = device.tensor("f32", [1, 1024], "gradOutput");
  const gradTable = device.tensor("f32", [1, 1024], "gradTable");
  const order = device.tensor("u32", [1], "order");
  const offsets = device.tensor("u32", [2], "offsets");
  // A position far beyond gradOutput, and beyond all memory.
  device.write(order, Uint32Array.of(2 ** 21));
  device.write(offsets, Uint32Array.of(0, 1));
  return device.record("trap", (operations) => {
    operations.embeddingBackward({ gradOutput, order, offsets, gradTable });
  });
}

Deno.test({
  name: `a kernel that traps is an error of settle and of everything after${SKIPPED}`,
  ignore: usesWideVectors(),
  async fn() {
    const device = await openCpu({ threads: 2 });
    device.run(trap(device));
    await assert.rejects(device.settle(), { name: "DeviceError", message: /CPU device stopped/ });
    await assert.rejects(device.settle(), DeviceError);
    device.close();
  },
});

Deno.test({
  name: `a kernel that traps ends the wait for room in a full queue${SKIPPED}`,
  ignore: usesWideVectors(),
  async fn() {
    const device = await openCpu({ threads: 2 });
    const recording = trap(device);
    assert.throws(() => {
      for (let i = 0; i < 2 * QUEUE.length; i++) device.run(recording);
    }, { name: "DeviceError", message: /CPU device stopped \(a thread failed\)/ });
    await assert.rejects(device.settle(), DeviceError);
    device.close();
  },
});
