import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { openWebgpu } from "../../kernels/webgpu/adapter.ts";
import { matrix } from "../linalg/matrix.ts";
import { outputError } from "./output_error.ts";

const COLUMNS = 6;
const TOKENS = 11;

function normal(purpose: string, size: number): Float32Array {
  const random = new RandomStream(5, purpose);
  return Float32Array.from({ length: size }, (_, index) => random.normal(index));
}

/** Sum of squares of the outputs `x D^T` of all tokens, in float64. */
function squares(inputs: Float32Array, weights: Float32Array): number {
  let sum = 0;
  for (let token = 0; token < TOKENS; token++) {
    for (let row = 0; row < weights.length / COLUMNS; row++) {
      let output = 0;
      for (let column = 0; column < COLUMNS; column++) {
        output += (inputs[token * COLUMNS + column] as number) *
          (weights[row * COLUMNS + column] as number);
      }
      sum += output ** 2;
    }
  }
  return sum;
}

function gramOf(inputs: Float32Array) {
  const values = new Float64Array(COLUMNS * COLUMNS);
  for (let index = 0; index < values.length; index++) {
    for (let token = 0; token < TOKENS; token++) {
      values[index] = (values[index] as number) +
        (inputs[token * COLUMNS + Math.floor(index / COLUMNS)] as number) *
          (inputs[token * COLUMNS + index % COLUMNS] as number) / TOKENS;
    }
  }
  return matrix(COLUMNS, COLUMNS, values);
}

const DEVICES = {
  reference: () => Promise.resolve(new ReferenceDevice()),
  cpu: () => openCpu({ threads: 1 }),
  webgpu: () => openWebgpu(),
};

for (const [name, open] of Object.entries(DEVICES)) {
  for (const rows of [3, 256, 300]) {
    Deno.test(`${name}: the error of ${rows} outputs is that of the outputs themselves`, async () => {
      const device = await open();
      const inputs = normal("inputs", TOKENS * COLUMNS);
      const weights = normal("weights", rows * COLUMNS);
      const quantized = weights.map((value) => Math.round(value * 2) / 2);
      const error = weights.map((value, index) => value - (quantized[index] as number));
      const expected = squares(inputs, error) / squares(inputs, weights);
      const found = await outputError(device, gramOf(inputs), weights, quantized);
      assert(
        Math.abs(found / expected - 1) < (name === "reference" ? 1e-12 : 1e-5),
        `${found} ${expected}`,
      );
      device.close();
    });
  }
}

Deno.test("outputs that are all zero lose nothing", async () => {
  const device = new ReferenceDevice();
  const zeros = new Float32Array(3 * COLUMNS);
  assert.equal(await outputError(device, matrix(COLUMNS, COLUMNS), zeros, zeros.slice()), 0);
  device.close();
});
