import assert from "node:assert/strict";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { lendDevice } from "./device_scope.ts";

const BYTES = 8; // the reference device holds f32 tensors in float64

Deno.test("a loan measures the largest memory of live tensors", () => {
  const device = new ReferenceDevice();
  const base = device.tensor("f32", [64], "base");
  const scope = lendDevice(device);
  const first = scope.device.tensor("f32", [128], "first");
  scope.device.free(first);
  scope.device.tensor("f32", [100], "second");
  assert.equal(scope.peak(), (64 + 128) * BYTES);
  scope[Symbol.dispose]();
  assert.equal(device.memory().current, 64 * BYTES);

  const next = lendDevice(device);
  assert.equal(next.peak(), 64 * BYTES, "an earlier loan does not count");
  device.free(base);
});

Deno.test("the end of a loan, or closing the lent device, frees what was left behind", () => {
  for (const end of ["dispose", "close"]) {
    const device = new ReferenceDevice();
    const scope = lendDevice(device);
    const input = scope.device.tensor("f32", [64], "input");
    const output = scope.device.tensor("f32", [64], "output");
    const recording = scope.device.record("add", (operations) => {
      operations.add({ left: input, right: input, output });
    });
    scope.device.run(recording);
    if (end === "dispose") scope[Symbol.dispose]();
    else scope.device.close();
    assert.equal(device.memory().current, 0);
    device.tensor("f32", [1], "the device itself still works");
    scope[Symbol.dispose]();
  }
});

Deno.test("a lent device computes as the device does", async () => {
  const { device } = lendDevice(new ReferenceDevice());
  const tensor = device.tensor("f32", [3], "values");
  device.write(tensor, Float64Array.of(1, 2, 3));
  const recording = device.record("double", (operations) => {
    operations.add({ left: tensor, right: tensor, output: tensor });
  });
  device.run(recording);
  assert.deepEqual([...await device.readFloats(tensor)], [2, 4, 6]);
  recording.release();
});
