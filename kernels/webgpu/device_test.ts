import assert from "node:assert/strict";
import { DeviceError, type Tensor } from "../device.ts";
import { RandomStream } from "../random.ts";
import { openWebgpu } from "./adapter.ts";
import { WebgpuDevice } from "./device.ts";
import type { Dispatch, Profile } from "./program.ts";

const device = await openWebgpu();
addEventListener("unload", () => device.close());

/** Random values of a tensor, written to the device and returned. */
function randomize(tensor: Tensor, seed: number): Float32Array {
  const stream = new RandomStream(seed, tensor.label);
  const values = Float32Array.from({ length: tensor.size }, (_, index) => stream.normal(index));
  device.write(tensor, values);
  return values;
}

Deno.test("tensors start as zeros, also in memory that another tensor left", async () => {
  for (let round = 0; round < 3; round++) {
    const tensor = device.tensor("f32", [1000], `round ${round}`);
    assert.deepEqual(await device.readFloats(tensor), new Float32Array(1000));
    device.write(tensor, new Float32Array(1000).fill(7));
    device.free(tensor);
  }
});

Deno.test("what is written is read, in part, as words, from float64 and in large pieces", async () => {
  const words = device.tensor("u32", [5], "words");
  device.write(words, Uint32Array.of(1, 2, 0xffffffff));
  device.write(words, Uint32Array.of(8, 9), 3);
  assert.deepEqual([...await device.readWords(words)], [1, 2, 0xffffffff, 8, 9]);

  const floats = device.tensor("f32", [3], "floats");
  device.write(floats, Float64Array.of(1 / 3, 2, -1e-3));
  assert.deepEqual(await device.readFloats(floats), Float32Array.of(1 / 3, 2, -1e-3));

  const size = 5 * 2 ** 20 + 3; // more than one write
  const large = device.tensor("f32", [size], "large");
  const values = Float32Array.from({ length: size }, (_, index) => index % 1013);
  device.write(large, values);
  const found = await device.readFloats(large);
  assert.equal(found.findIndex((value, index) => value !== values[index]), -1);
  device.free(large);
});

Deno.test("views share memory at their offset, and a kernel may read one and write another", async () => {
  const slab = device.tensor("f32", [320], "slab");
  const values = randomize(slab, 1);
  const first = device.view(slab, 64, [7, 9], "first");
  const second = device.view(slab, 192, [63], "second");
  assert.deepEqual(await device.readFloats(first), values.slice(64, 127));
  device.run(device.record("copy", (operations) => {
    operations.copy({ input: first, output: second });
  }));
  const expected = values.slice();
  expected.set(values.subarray(64, 127), 192);
  assert.deepEqual(await device.readFloats(slab), expected);
  const nested = device.view(device.view(slab, 128, [192]), 64, [63]);
  assert.deepEqual(await device.readFloats(nested), values.slice(64, 127));
});

Deno.test("copies move a range between tensors and within one", async () => {
  const source = device.tensor("f32", [100], "source");
  const values = randomize(source, 2);
  const target = device.tensor("f32", [50], "target");
  device.copy(source, 3, target, 11, 20);
  device.copy(target, 11, target, 15, 20);
  const expected = new Float32Array(50);
  expected.set(values.subarray(3, 23), 11);
  expected.set(values.subarray(3, 23), 15);
  assert.deepEqual(await device.readFloats(target), expected);
});

Deno.test("replays, writes and copies happen in the order they were queued, without waiting", async () => {
  const left = device.tensor("f32", [33], "left");
  const total = device.tensor("f32", [33], "total");
  const history = device.tensor("f32", [10, 64], "history");
  const recording = device.record("sum", (operations) => {
    operations.add({ left, right: total, output: total });
  });
  for (let step = 0; step < 10; step++) {
    device.write(left, new Float32Array(33).fill(step));
    device.run(recording);
    device.copy(total, 0, history, 64 * step, 33);
  }
  const found = await device.readFloats(history);
  for (let step = 0; step < 10; step++) {
    assert.equal(found[64 * step + 32], step * (step + 1) / 2);
    assert.equal(found[64 * step + 33], 0);
  }
  recording.release();
});

Deno.test("a copy takes what was there when it was queued", async () => {
  const source = device.tensor("f32", [1], "source");
  const copies = device.tensor("f32", [2], "copies");
  const double = device.record("double", (operations) => {
    operations.add({ left: source, right: source, output: source });
  });
  device.write(source, Float32Array.of(3));
  device.copy(source, 0, copies, 0, 1);
  device.write(source, Float32Array.of(5));
  device.copy(source, 0, copies, 1, 1);
  device.run(double);
  assert.deepEqual(await device.readFloats(copies), Float32Array.of(3, 5));
  assert.deepEqual(await device.readFloats(source), Float32Array.of(10));
});

Deno.test("a recording longer than one submission runs whole", async () => {
  const counter = device.tensor("f32", [1], "counter");
  const one = device.tensor("f32", [1], "one");
  device.write(one, Float32Array.of(1));
  const recording = device.record("count", (operations) => {
    for (let step = 0; step < 600; step++) {
      operations.add({ left: counter, right: one, output: counter });
    }
  });
  assert.equal(recording.length, 600);
  device.run(recording);
  assert.deepEqual(await device.readFloats(counter), Float32Array.of(600));
});

Deno.test("many tensors are read at once", async () => {
  const tensors = Array.from({ length: 30 }, (_, index) => {
    const tensor = device.tensor("u32", [index + 1], `tensor ${index}`);
    device.write(tensor, new Uint32Array(index + 1).fill(index));
    return tensor;
  });
  const found = await Promise.all(tensors.map((tensor) => device.readWords(tensor)));
  found.forEach((words, index) => assert.deepEqual(words, new Uint32Array(index + 1).fill(index)));
});

Deno.test("memory counts live tensors and scratch once, and its peak", () => {
  const before = device.memory().current;
  const tensor = device.tensor("f32", [1024], "counted");
  device.view(tensor, 64, [64]);
  assert.equal(device.memory().current, before + 4096);
  const output = device.tensor("f32", [2], "norm");
  const recording = device.record("norm", (operations) => {
    operations.gradientNorm({ gradients: [tensor], maxNorm: 1, output });
  });
  assert.ok(device.memory().current > before + 4096 + 8, "scratch is counted");
  recording.release();
  device.free(output);
  device.free(tensor);
  assert.equal(device.memory().current, before);
  assert.ok(device.memory().peak >= before + 4096 + 8);
});

Deno.test("a tensor over the device's limit, an odd shape and a bad view are refused", () => {
  const most = device.info.maxTensorBytes / 4;
  assert.throws(() => device.tensor("f32", [most + 1], "too large"), {
    name: "RangeError",
    message: /"too large" \[\d+\] needs [\d.]+ MiB, but .* allows [\d.]+ MiB per tensor/,
  });
  assert.throws(() => device.tensor("f32", [2, 0], "empty"), RangeError);
  assert.throws(() => device.tensor("f32", [1.5], "half"), RangeError);
  const tensor = device.tensor("f32", [128], "viewed");
  assert.throws(() => device.view(tensor, 32, [1]), /multiple of 64/);
  assert.throws(() => device.view(tensor, 64, [65]), /"viewed".* has 128/);
});

Deno.test("misuse is named: freed tensors, released recordings, other devices, wrong types", () => {
  const tensor = device.tensor("f32", [4], "short-lived");
  const fill = device.record("fill", (operations) => {
    operations.fill({ output: tensor, value: 1 });
  });
  const view = device.view(tensor, 0, [4]);
  assert.throws(() => device.free(view), /view/);
  assert.throws(() => device.write(tensor, Uint32Array.of(1)), TypeError);
  assert.throws(() => device.write(tensor, Float32Array.of(1, 2), 3), RangeError);
  device.free(tensor);
  assert.throws(() => device.write(view, Float32Array.of(1)), DeviceError);
  assert.throws(() => device.run(fill), /"fill" uses the tensor "short-lived", which was freed/);
  const other = { dtype: "f32", shape: [1], size: 1, label: "foreign" } as const;
  assert.throws(() => device.write(other, Float32Array.of(1)), /"foreign" belongs to another/);
  const kept = device.tensor("f32", [4], "kept");
  const released = device.record("late", (operations) => {
    operations.fill({ output: kept, value: 1 });
  });
  released.release();
  assert.throws(() => device.run(released), /"late" was released/);
});

Deno.test("tensors and recordings of two devices do not mix", async () => {
  const other = await openWebgpu();
  const tensor = other.tensor("f32", [4], "theirs");
  const recording = other.record("fill", (operations) => {
    operations.fill({ output: tensor, value: 1 });
  });
  assert.throws(() => device.free(tensor), TypeError);
  assert.throws(() => device.run(recording), TypeError);
  assert.throws(
    () => device.record("mixed", (operations) => operations.fill({ output: tensor, value: 1 })),
    TypeError,
  );
  other.close();
  assert.throws(() => other.tensor("f32", [1], "late"), /closed/);
  await assert.rejects(other.settle(), DeviceError);
});

Deno.test("a kernel that does not compile is a DeviceError that names it, once", async () => {
  const tensor = device.tensor("f32", [4], "victim");
  const broken: Dispatch = {
    label: "broken kernel",
    code: `@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(1) fn main() { values[0] = missing; }`,
    bindings: [{ tensor, access: "read_write" }],
    workgroups: [1, 1, 1],
  };
  device.run(device.recordKernels("broken", () => [broken]));
  await assert.rejects(device.settle(), {
    name: "DeviceError",
    message: /"broken kernel" does not compile[^]*missing/,
  });
  await device.settle();
  assert.deepEqual(await device.readFloats(tensor), new Float32Array(4));
});

Deno.test("more workgroups than a dimension allows are refused before they reach the driver", () => {
  const tensor = device.tensor("f32", [4], "grid");
  const code = `@group(0) @binding(0) var<storage, read_write> values: array<f32>;
@compute @workgroup_size(1) fn main() { values[0] = 1.0; }`;
  const bindings = [{ tensor, access: "read_write" }] as const;
  const dispatch: Dispatch = { label: "wide", code, bindings, workgroups: [65536, 1, 1] };
  assert.throws(
    () => device.recordKernels("wide", () => [dispatch]),
    /"wide" needs 65536 x 1 x 1 workgroups/,
  );
});

Deno.test("scratch is shared by the operations of a recording", async () => {
  const outputs = [1, 2].map((index) => device.tensor("f32", [2], `norm ${index}`));
  const gradients = [5000, 9000].map((size) => {
    const tensor = device.tensor("f32", [size], `gradient ${size}`);
    device.write(tensor, new Float32Array(size).fill(1));
    return tensor;
  });
  const before = device.memory().current;
  const recording = device.record("norms", (operations) => {
    outputs.forEach((output, index) => {
      const gradient = gradients[index] as Tensor;
      operations.gradientNorm({ gradients: [gradient], maxNorm: Infinity, output });
    });
  });
  // Not three and two partial sums: three, and a uniform block of at most 256 bytes per dispatch.
  assert.ok(device.memory().current - before <= 4 * 256 + 4 * 3);
  assert.equal((device.memory().current - before) % 32, 4 * 3);
  device.run(recording);
  const [first, second] = await Promise.all(outputs.map((output) => device.readFloats(output)));
  assert.deepEqual(first, Float32Array.of(Math.sqrt(5000), 1));
  assert.deepEqual(second, Float32Array.of(Math.sqrt(9000), 1));
  recording.release();
});

const PROFILE: Profile = {
  class: "generic",
  subgroupSize: 0,
  preamble: "",
  maxWorkgroupStorageBytes: 16384,
  maxWorkgroupInvocations: 256,
  maxWorkgroupsPerDimension: 65535,
  maxBindingBytes: 2 ** 27,
};

/** A WebgpuDevice over a GPU that fails as told. */
function failingDevice(failure: { outOfMemory?: boolean; lost?: string }): WebgpuDevice {
  const scopes: string[] = [];
  const gpu = {
    limits: { maxBufferSize: 2 ** 30 },
    lost: failure.lost ? Promise.resolve({ message: failure.lost }) : new Promise(() => {}),
    queue: { onSubmittedWorkDone: () => Promise.resolve() },
    addEventListener() {},
    destroy() {},
    createBuffer: ({ size }: { size: number }) => ({ size, destroy() {} }),
    pushErrorScope: (filter: string) => scopes.push(filter),
    popErrorScope: () => {
      const caught = scopes.pop() === "out-of-memory" && failure.outOfMemory;
      return Promise.resolve(caught ? { message: "not enough memory left" } : null);
    },
  };
  return new WebgpuDevice(gpu as unknown as GPUDevice, PROFILE, {
    name: "webgpu",
    class: "fake",
    description: "fake",
    maxTensorBytes: 2 ** 30,
  });
}

Deno.test("running out of memory names the tensor and its size", async () => {
  const failing = failingDevice({ outOfMemory: true });
  failing.tensor("f32", [2 ** 20], "model.layers.3.mlp.up_proj");
  await assert.rejects(failing.settle(), {
    name: "DeviceError",
    message: /Out of device memory allocating "model\.layers\.3\.mlp\.up_proj" \(4\.0 MiB\)/,
  });
});

/** A WebgpuDevice and the GPU below it. */
async function openWithGpu(): Promise<{ device: WebgpuDevice; gpu: GPUDevice }> {
  const { requestDevice } = GPUAdapter.prototype;
  let gpu: GPUDevice | undefined;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    return gpu = await requestDevice.call(this, descriptor);
  };
  try {
    const device = await openWebgpu();
    assert(gpu !== undefined);
    return { device, gpu };
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
  }
}

Deno.test("a device lost before, during and after a read is a DeviceError that says so", async () => {
  for (const moment of ["before", "during", "after"]) {
    const { device, gpu } = await openWithGpu();
    const tensor = device.tensor("f32", [4], "read");
    await device.settle();
    if (moment === "before") gpu.destroy();
    const read = device.readFloats(tensor);
    if (moment === "during") gpu.destroy();
    if (moment === "after") {
      assert.deepEqual(await read, new Float32Array(4));
      gpu.destroy();
      await assert.rejects(device.settle(), { name: "DeviceError", message: /lost \(/ });
    } else await assert.rejects(read, { name: "DeviceError", message: /lost \(/ }, moment);
    assert.throws(() => {
      device.close();
      device.tensor("f32", [1], "late");
    }, { name: "DeviceError", message: /closed/ });
  }
});

Deno.test("an error that no command is waiting for is thrown by the next read", async () => {
  const { device, gpu } = await openWithGpu();
  const tensor = device.tensor("f32", [4], "read");
  for (
    const [error, message] of [
      [new GPUOutOfMemoryError("heap 0"), /^Out of device memory during computation.*: heap 0$/],
      [new GPUValidationError("bind group"), /^WebGPU reported an error: bind group$/],
    ] as const
  ) {
    gpu.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
    await assert.rejects(device.readFloats(tensor), { name: "DeviceError", message });
    assert.deepEqual(await device.readFloats(tensor), new Float32Array(4));
  }
  device.close();
});

Deno.test("a lost device stays an error", async () => {
  const failing = failingDevice({ lost: "driver reset" });
  await assert.rejects(failing.settle(), /lost \(driver reset\)/);
  await assert.rejects(failing.settle(), /lost \(driver reset\)/);
});
