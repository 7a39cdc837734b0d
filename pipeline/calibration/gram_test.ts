// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device, Tensor } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { openWebgpu } from "../../kernels/webgpu/adapter.ts";
import { UserError } from "../errors.ts";
import { type Gram, GramSum, PROBE_TOLERANCE, WINDOW_TOKENS } from "./gram.ts";

const COLUMNS = 9;
const BATCH = 3000;
/** Two windows and a third that is not full. */
const BATCHES = 5;

/** Inputs as transformers have them: one feature much larger than the others, and a mean. */
function batchOf(index: number): Float32Array {
  const random = new RandomStream(index, "gram test");
  return Float32Array.from({ length: BATCH * COLUMNS }, (_, element) => {
    const value = random.normal(element) + 0.5;
    return element % COLUMNS === 2 ? 100 * value : value;
  });
}

async function gramOf(device: Device, batches: readonly Float32Array[]): Promise<Gram> {
  const sum = new GramSum(device, "layer", BATCH, COLUMNS);
  const input = device.tensor("f32", [BATCH, COLUMNS], "input");
  const recording = device.record("gram", (operations) => sum.record(operations, input));
  try {
    for (const batch of batches) {
      device.write(input, batch);
      device.run(recording);
      await sum.added(BATCH);
    }
    return await sum.finish();
  } finally {
    recording.release();
    sum.release();
    device.free(input);
  }
}

/** The mean of `x x^T`, and that of `|x| |x|^T`, in float64. */
function expected(batches: readonly Float32Array[]): { mean: Float64Array; size: Float64Array } {
  const mean = new Float64Array(COLUMNS * COLUMNS);
  const size = new Float64Array(COLUMNS * COLUMNS);
  for (const batch of batches) {
    for (let token = 0; token < BATCH; token++) {
      for (let row = 0; row < COLUMNS; row++) {
        for (let column = 0; column < COLUMNS; column++) {
          const product = batch[token * COLUMNS + row]! * batch[token * COLUMNS + column]!;
          mean[row * COLUMNS + column]! += product / (BATCH * batches.length);
          size[row * COLUMNS + column]! += Math.abs(product) / (BATCH * batches.length);
        }
      }
    }
  }
  return { mean, size };
}

const DEVICES: readonly (readonly [string, () => Promise<Device>])[] = [
  ["reference", () => Promise.resolve(new ReferenceDevice())],
  ["cpu", () => openCpu({ threads: 2 })],
  ["webgpu", () => openWebgpu()],
];

for (const [name, open] of DEVICES) {
  Deno.test(`${name}: a Gram matrix over several windows is the float64 one`, async () => {
    assert(2 * WINDOW_TOKENS > BATCHES * BATCH && WINDOW_TOKENS < BATCHES * BATCH);
    const device = await open();
    const batches = Array.from({ length: BATCHES }, (_, index) => batchOf(index));
    const { matrix, error } = await gramOf(device, batches);
    const { mean, size } = expected(batches);
    // The bound of the module's documentation on f32 devices; float64 is far below it.
    const bound = name === "reference" ? 1e-12 : WINDOW_TOKENS * 2 ** -24;
    for (let index = 0; index < mean.length; index++) {
      const difference = Math.abs(matrix.values[index]! - mean[index]!);
      assert(difference <= bound * size[index]!, `${index}: ${difference} of ${size[index]}`);
      const [row, column] = [Math.floor(index / COLUMNS), index % COLUMNS];
      assert.equal(matrix.values[index], matrix.values[column * COLUMNS + row]);
    }
    assert(error <= PROBE_TOLERANCE / 10, `${error}`);
    if (name === "reference") assert(error < 1e-12, `${error}`);
    device.close();
  });
}

Deno.test("the probe finds a device that computes one entry wrongly", async () => {
  const device = new ReferenceDevice();
  const read = device.readFloats.bind(device);
  device.readFloats = async (tensor: Tensor, into?: ArrayBuffer) => {
    const values = await read(tensor, into);
    if (tensor.size === COLUMNS * COLUMNS) values[2 * COLUMNS + 3]! *= 1.01;
    return values;
  };
  await assert.rejects(
    gramOf(device, [batchOf(0)]),
    (error) =>
      error instanceof UserError &&
      /Gram matrix of layer with a relative error/.test(error.message),
  );
  device.close();
});

Deno.test("inputs that overflow f32 when squared are not finite", async () => {
  const device = await openCpu({ threads: 1 });
  const batch = batchOf(0);
  batch[17] = 1e30;
  await assert.rejects(gramOf(device, [batch]), /inputs of layer are not finite/);
  device.close();
});

Deno.test("inputs that are all zero have a Gram matrix of zeros", async () => {
  const device = new ReferenceDevice();
  const { matrix, error } = await gramOf(device, [new Float32Array(BATCH * COLUMNS)]);
  assert(matrix.values.every((value) => value === 0));
  assert.equal(error, 0);
  device.close();
});
