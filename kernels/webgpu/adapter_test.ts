import assert from "node:assert/strict";
import { openWebgpu, probe } from "./adapter.ts";
import { SETUP_HINT } from "./implementation.ts";

Deno.test("the report says what the adapter is and what was proved", async () => {
  const report = await probe();
  assert.equal(report.found, true, SETUP_HINT);
  assert.notEqual(report.description, "");
  assert.match(report.vendor, /^\d+$/);
  assert.ok((report.limits["maxBufferSize"] ?? 0) >= 2 ** 28);
  assert.equal(report.featuresUsable.includes("subgroups"), report.subgroupSize > 0);
  assert.equal(report.profile === "software", report.software);
  const device = await openWebgpu();
  assert.equal(device.profile.class, report.profile);
  assert.equal(device.info.description, report.description);
  assert.ok(device.info.class.includes(report.description));
  assert.ok(device.info.class.includes(report.driver));
  device.close();
});

Deno.test("the class of a device separates profiles, whose bits differ", async () => {
  const automatic = await openWebgpu();
  const generic = await openWebgpu({ profile: "generic" });
  assert.equal(generic.profile.subgroupSize, 0);
  assert.notEqual(generic.info.class, automatic.info.class);
  automatic.close();
  generic.close();
});

/** Replaces a method of an object while `body` runs. */
async function replacing<Key extends string>(
  object: Record<Key, unknown>,
  key: Key,
  value: unknown,
  body: () => Promise<void>,
): Promise<void> {
  const original = object[key];
  object[key] = value;
  try {
    await body();
  } finally {
    object[key] = original;
  }
}

Deno.test("without an adapter, the error and the report name the line to run", async () => {
  await replacing(GPU.prototype, "requestAdapter", () => Promise.resolve(null), async () => {
    await assert.rejects(openWebgpu(), {
      name: "DeviceError",
      message: /`deno task setup --webgpu`/,
    });
    const report = await probe();
    assert.equal(report.found, false);
    assert.match(report.errors.join(), /`deno task setup --webgpu`/);
  });
});

Deno.test("an adapter that refuses subgroups is used without them", async () => {
  const request = GPUAdapter.prototype.requestDevice;
  function refusing(this: GPUAdapter, descriptor?: GPUDeviceDescriptor): Promise<GPUDevice> {
    return descriptor?.requiredFeatures?.includes("subgroups")
      ? Promise.reject(new TypeError("feature not supported"))
      : request.call(this, descriptor);
  }
  await replacing(GPUAdapter.prototype, "requestDevice", refusing, async () => {
    const report = await probe();
    assert.equal(report.subgroupSize, 0);
    assert.match(report.errors.join(), /feature not supported/);
    await assert.rejects(openWebgpu({ profile: "gpu" }), /needs subgroups/);
    const device = await openWebgpu();
    const tensor = device.tensor("f32", [100], "squares");
    device.write(tensor, new Float32Array(100).fill(2));
    const output = device.tensor("f32", [2], "norm");
    device.run(device.record("norm", (operations) => {
      operations.gradientNorm({ gradients: [tensor], maxNorm: Infinity, output });
    }));
    assert.deepEqual(await device.readFloats(output), Float32Array.of(20, 1));
    device.close();
  });
});
