import assert from "node:assert/strict";
import type { Device, Tensor } from "../device.ts";
import { RandomStream } from "../random.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { openWebgpu } from "./adapter.ts";

/** Logits of 9.6 MiB: two chunks on software. */
const [T, V, D] = [600, 4200, 8];

/** Losses and gradients, as the device computes them. */
async function run(device: Device): Promise<(Float32Array | Float64Array)[]> {
  const stream = new RandomStream(1, "cross-entropy chunks");
  const random = (shape: number[], label: string): Tensor => {
    const tensor = device.tensor("f32", shape, label);
    const values = Float32Array.from(
      { length: tensor.size },
      (_, index) => stream.normal(index + 100_000 * label.length),
    );
    device.write(tensor, values);
    return tensor;
  };
  const hidden = random([T, D], "hidden");
  const values = random([V, D], "head");
  const targets = device.tensor("u32", [T], "targets");
  device.write(targets, Uint32Array.from({ length: T }, (_, index) => index * 7919 % V));
  const weights = device.tensor("f32", [T], "weights");
  device.write(weights, Float32Array.from({ length: T }, (_, index) => index % 5 === 0 ? 0 : 0.01));
  const losses = device.tensor("f32", [T], "losses");
  const gradHidden = device.tensor("f32", [T, D], "gradHidden");
  const gradHead = device.tensor("f32", [V, D], "gradHead");
  const before = device.memory().current;
  const recording = device.record("loss", (operations) => {
    operations.crossEntropy({
      hidden,
      head: { format: "dense", rows: V, columns: D, values },
      targets,
      weights,
      losses,
      gradHidden,
      gradHead,
    });
  });
  const scratch = device.memory().current - before;
  assert.ok(scratch < 4 * T * V, `${scratch} bytes of scratch hold all logits`);
  device.run(recording);
  const results = await Promise.all(
    [losses, gradHidden, gradHead].map((tensor) => device.readFloats(tensor)),
  );
  device.close();
  return results;
}

Deno.test("chunks of tokens give the loss and gradients of the whole, without all logits", async () => {
  const found = await run(await openWebgpu({ profile: "software" }));
  const expected = await run(new ReferenceDevice());
  found.forEach((values, output) => {
    const wanted = expected[output] as Float64Array;
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    values.forEach((value, index) => {
      const error = Math.abs(value - (wanted[index] as number));
      // Logits reach 15: rounding them moves probabilities by up to 15 * 8 * 2^-24, relatively.
      assert.ok(error <= 1e-5 * largest, `output ${output}[${index}]: ${value}, error ${error}`);
    });
  });
});
