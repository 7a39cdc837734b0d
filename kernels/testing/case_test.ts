import assert from "node:assert/strict";
import type { DType, Recording, Tensor } from "../device.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { randomFloats } from "./arrays.ts";
import { type Case, checkCase } from "./case.ts";
import { linearCases } from "./linear_cases.ts";

/** A reference device that does something wrong after every replay. */
class FaultyDevice extends ReferenceDevice {
  readonly #tensors: Tensor[] = [];
  readonly #fault: (device: FaultyDevice, output: Tensor, replay: number) => Promise<void>;
  #replays = 0;
  #pending: Promise<void> = Promise.resolve();

  constructor(fault: (device: FaultyDevice, output: Tensor, replay: number) => Promise<void>) {
    super();
    this.#fault = fault;
  }

  override tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const tensor = super.tensor(dtype, shape, label);
    this.#tensors.push(tensor);
    return tensor;
  }

  override run(recording: Recording): void {
    super.run(recording);
    const output = this.#tensors.find(({ label }) => label === "output (guarded)");
    if (output) this.#pending = this.#fault(this, output, this.#replays++);
  }

  override async readFloats(tensor: Tensor): Promise<Float64Array> {
    await this.#pending;
    return await super.readFloats(tensor);
  }

  /** Reads without waiting for the fault, for the fault itself. */
  async peek(tensor: Tensor): Promise<Float64Array> {
    return await super.readFloats(tensor);
  }
}

const [, , linear] = linearCases("dense");
if (!linear) throw new Error("there is a third dense case");

/** Where the output begins in its guarded tensor. */
const START = 64;

Deno.test("a case passes on a device that rounds to f32 and fails on one that rounds more", async () => {
  const ratio = await checkCase(rounding(24), linear);
  assert.ok(ratio > 0 && ratio < 0.5, `the ratio is ${ratio}`);
  await assert.rejects(() => checkCase(rounding(16), linear), /exceeds the bound/);
  await assert.rejects(() => checkCase(rounding(8), linear), /exceeds the bound/);
});

/** Rounds the output but not its guards. */
function rounding(digits: number): FaultyDevice {
  return new FaultyDevice(async (device, output) => {
    const values = await device.peek(output);
    const inside = values.subarray(START, values.length - START);
    device.write(output, inside.map((value) => roundTo(value, digits)), START);
  });
}

Deno.test("one wrong element is named", async () => {
  const device = new FaultyDevice((device, output) => {
    device.write(output, Float32Array.of(1000), START + 5);
    return Promise.resolve();
  });
  await assert.rejects(() => checkCase(device, linear), /output\[5\] of \[33, 7\] is 1000/);
});

Deno.test("an element that is not written stays NaN and fails", async () => {
  const forgetful: Case = { ...linear, record: () => {} };
  await assert.rejects(() => checkCase(new ReferenceDevice(), forgetful), /is NaN/);
});

Deno.test("writing before or behind the output fails", async () => {
  for (const place of [START - 1, START + 33 * 7]) {
    const device = new FaultyDevice((device, output) => {
      device.write(output, Float32Array.of(0), place);
      return Promise.resolve();
    });
    await assert.rejects(() => checkCase(device, linear), /wrote beside output/);
  }
});

Deno.test("two replays that differ fail, by whatever little", async () => {
  const device = new FaultyDevice(async (device, output, replay) => {
    const [value = NaN] = (await device.peek(output)).subarray(START);
    device.write(output, Float64Array.of(value * (1 + replay * 2 ** -50)), START);
  });
  await assert.rejects(() => checkCase(device, linear), /two runs differ in output/);
});

Deno.test("inputs stand among NaN", async () => {
  const data = randomFloats("inputs", 4);
  const testCase: Case = {
    label: "neighbours",
    inputs: { input: { shape: [4], data } },
    outputs: { output: { shape: [4], terms: 1, magnitude: "exact" } },
    record: (operations, tensor) =>
      operations.copy({ input: tensor("input"), output: tensor("output") }),
  };
  let around: number[] = [];
  class Spy extends ReferenceDevice {
    #guarded: Tensor | undefined;
    override tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
      const tensor = super.tensor(dtype, shape, label);
      if (label === "input (guarded)") this.#guarded = tensor;
      return tensor;
    }
    override async readFloats(tensor: Tensor): Promise<Float64Array> {
      if (this.#guarded) around = [...await super.readFloats(this.#guarded)];
      return await super.readFloats(tensor);
    }
  }
  assert.equal(await checkCase(new Spy(), testCase), 0);
  assert.deepEqual(around.slice(START, START + 4), [...data]);
  assert.ok([...around.slice(0, START), ...around.slice(START + 4)].every(Number.isNaN));
});

/** Rounds to `digits` binary digits. */
function roundTo(value: number, digits: number): number {
  if (value === 0 || !Number.isFinite(value)) return value;
  const unit = 2 ** (Math.floor(Math.log2(Math.abs(value))) + 1 - digits);
  return Math.round(value / unit) * unit;
}
