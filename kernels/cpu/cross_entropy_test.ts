import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { openCpu } from "./device.ts";

/** Losses and gradients on a device with so many threads. */
async function crossEntropy(
  threads: number,
  hiddenValues: Float32Array,
  headValues: Float32Array,
  targetIds: Uint32Array,
  weightValues: Float32Array,
) {
  const device = await openCpu({ threads });
  const tokens = targetIds.length;
  const columns = hiddenValues.length / tokens;
  const rows = headValues.length / columns;
  const hidden = device.tensor("f32", [tokens, columns], "hidden");
  const values = device.tensor("f32", [rows, columns], "head");
  const targets = device.tensor("u32", [tokens], "targets");
  const weights = device.tensor("f32", [tokens], "weights");
  const losses = device.tensor("f32", [tokens], "losses");
  const gradHidden = device.tensor("f32", [tokens, columns], "gradHidden");
  const gradHead = device.tensor("f32", [rows, columns], "gradHead");
  device.write(hidden, hiddenValues);
  device.write(values, headValues);
  device.write(targets, targetIds);
  device.write(weights, weightValues);
  const head = { format: "dense", rows, columns, values } as const;
  device.run(device.record("cross-entropy", (operations) => {
    operations.crossEntropy({ hidden, head, targets, weights, losses, gradHidden, gradHead });
  }));
  const results = {
    losses: await device.readFloats(losses),
    gradHidden: await device.readFloats(gradHidden),
    gradHead: await device.readFloats(gradHead),
  };
  device.close();
  return results;
}

Deno.test("equal logits: the loss is log V, the gradient the mean row minus the target's", async () => {
  // 16 logits make a step of the loops, 19 leave three for their ends.
  const head = Float32Array.from({ length: 19 }, (_, i) => i);
  const targets = Uint32Array.of(0, 18);
  const weights = Float32Array.of(1, 2);
  const results = await crossEntropy(1, new Float32Array(2), head, targets, weights);
  for (const loss of results.losses) assert.ok(Math.abs(loss - Math.log(19)) < 1e-6);
  assert.ok(Math.abs((results.gradHidden[0] ?? NaN) - 9) < 1e-5);
  assert.ok(Math.abs((results.gradHidden[1] ?? NaN) - 2 * (9 - 18)) < 1e-5);
});

Deno.test("a NaN shows in the loss of its token and in no other", async () => {
  const hidden = randomFloats("hidden", 5 * 8);
  hidden[8 + 3] = NaN;
  const head = randomFloats("head", 40 * 8);
  const { losses } = await crossEntropy(
    2,
    hidden,
    head,
    new Uint32Array(5),
    new Float32Array(5).fill(1),
  );
  assert.deepEqual([...losses].map(Number.isNaN), [false, true, false, false, false]);
});

Deno.test("cross-entropy gives the same bits on any number of threads", async () => {
  const hidden = randomFloats("hidden", 70 * 20);
  const head = randomFloats("head", 333 * 20);
  const targets = Uint32Array.from({ length: 70 }, (_, t) => 4 * t);
  const weights = randomFloats("weights", 70);
  const one = await crossEntropy(1, hidden, head, targets, weights);
  assert.deepEqual(one, await crossEntropy(3, hidden, head, targets, weights));
});
