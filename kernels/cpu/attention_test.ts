import assert from "node:assert/strict";
import type { AttentionShape } from "../device.ts";
import { randomFloats } from "../testing/arrays.ts";
import { type CpuDevice, openCpu } from "./device.ts";

/** Everything that attention and its backward write, of one shape. */
async function gradients(device: CpuDevice, shape: AttentionShape): Promise<Float32Array[]> {
  const { batch, length, heads, kvHeads, headDim } = shape;
  const tensor = (name: string, columns: number) => {
    const made = device.tensor("f32", [batch * length, columns], name);
    device.write(made, randomFloats(name, made.size));
    return made;
  };
  const [width, kvWidth] = [heads * headDim, kvHeads * headDim];
  const inputs = {
    queries: tensor("queries", width),
    keys: tensor("keys", kvWidth),
    values: tensor("values", kvWidth),
    gradOutput: tensor("gradOutput", width),
  };
  const outputs = {
    output: tensor("output", width),
    logSumExp: tensor("logSumExp", heads),
    gradQueries: tensor("gradQueries", width),
    gradKeys: tensor("gradKeys", kvWidth),
    gradValues: tensor("gradValues", kvWidth),
  };
  const recording = device.record("attention", (operations) => {
    operations.attention({ ...shape, ...inputs, ...outputs });
    operations.attentionBackward({ ...shape, ...inputs, ...outputs });
  });
  device.run(recording);
  return await Promise.all(Object.values(outputs).map((output) => device.readFloats(output)));
}

Deno.test("attention gives the same bits on any number of threads", async () => {
  const shape = {
    batch: 2,
    length: 130,
    heads: 6,
    kvHeads: 2,
    headDim: 12,
    scale: 0.3,
    window: 70,
  };
  const results = [];
  for (const threads of [1, 3]) {
    const device = await openCpu({ threads });
    results.push(await gradients(device, shape));
    device.close();
  }
  assert.deepEqual(results[0], results[1]);
});

Deno.test("attention refuses heads that do not fit a thread's scratch memory", async () => {
  const device = await openCpu({ threads: 1 });
  const shape = { batch: 1, length: 1, heads: 1, kvHeads: 1, headDim: 4096, scale: 1 };
  await assert.rejects(gradients(device, shape), {
    name: "RangeError",
    message: /^attention: headDim is 4096, but the CPU device takes at most \d+/,
  });
  device.close();
});
