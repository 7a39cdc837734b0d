// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { openCpu } from "../../kernels/cpu/device.ts";
import type { Device } from "../../kernels/device.ts";
import { RandomStream } from "../../kernels/random.ts";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { AdamW } from "./optimizer.ts";
import type { ParameterSlab } from "./trainable.ts";

const OPTIONS = {
  name: "adamw",
  lr: 0.05,
  betas: [0.9, 0.999],
  epsilon: 1e-8,
  weight_decay: 0.1,
} as const;

function normal(purpose: string, size: number): Float64Array {
  const random = new RandomStream(1, purpose);
  return Float64Array.from({ length: size }, (_, index) => random.normal(index));
}

/** Slabs of 64 and 192 values; the first decays. */
function makeSlabs(device: Device): ParameterSlab[] {
  return [64, 192].map((size, index) => {
    const name = `slab ${index}`;
    const parameters = device.tensor("f32", [size], name);
    const gradients = device.tensor("f32", [size], `gradients of ${name}`);
    device.write(parameters, normal(name, size));
    return { name, parameters, gradients, decay: index === 0 };
  });
}

/** Writes the gradient of the task in a step and queues it. */
function step(device: Device, optimizer: AdamW, slabs: readonly ParameterSlab[], index: number) {
  for (const { name, gradients } of slabs) {
    device.write(gradients, normal(`${name} in step ${index}`, gradients.size));
  }
  optimizer.step(index, 0.05);
}

/** Gradient of `task . p + penalty |p|^2` by central differences. */
function slopes(task: Float64Array, p: Float64Array, penalty: number): Float64Array {
  const step = 1e-4;
  const term = (index: number, value: number) => task[index]! * value + penalty * value ** 2;
  return p.map((value, index) =>
    (term(index, value + step) - term(index, value - step)) / (2 * step)
  );
}

const DEVICES: Readonly<Record<string, readonly [() => Promise<Device>, tolerance: number]>> = {
  reference: [() => Promise.resolve(new ReferenceDevice()), 1e-9],
  cpu: [() => openCpu(), 1e-5],
};

for (const [name, [open, tolerance]] of Object.entries(DEVICES)) {
  Deno.test(`the penalty is part of the objective, before clipping: ${name}`, async () => {
    const device = await open();
    const slabs = makeSlabs(device);
    const [penalty, clip] = [0.3, 2];
    const optimizer = new AdamW(device, slabs, OPTIONS, clip, penalty);
    const values = slabs.map(({ name, parameters }) => normal(name, parameters.size));
    const moments = values.map((slab) => [slab.map(() => 0), slab.map(() => 0)] as const);
    for (const index of [0, 1]) {
      step(device, optimizer, slabs, index);
      const gradients = slabs.map(({ name }, slab) =>
        slopes(normal(`${name} in step ${index}`, values[slab]!.length), values[slab]!, penalty)
      );
      const norm = Math.sqrt(gradients.flatMap((g) => [...g]).reduce((sum, g) => sum + g * g, 0));
      const [measured] = await device.readFloats(optimizer.norm);
      assert.ok(Math.abs(measured! - norm) <= tolerance * norm, `${measured} and ${norm}`);
      assert.ok(norm > clip, "clipping takes part in the test");
      for (const [slab, p] of values.entries()) {
        const [first, second] = moments[slab]!;
        for (let i = 0; i < p.length; i++) {
          const g = gradients[slab]![i]! * clip / (norm + 1e-6);
          first[i] = 0.9 * first[i]! + 0.1 * g;
          second[i] = 0.999 * second[i]! + 0.001 * g * g;
          if (slab === 0) p[i]! *= 1 - 0.05 * 0.1;
          p[i]! -= 0.05 * first[i]! / (1 - 0.9 ** (index + 1)) /
            (Math.sqrt(second[i]! / (1 - 0.999 ** (index + 1))) + 1e-8);
        }
        const actual = await device.readFloats(slabs[slab]!.parameters);
        p.forEach((value, i) => assert.ok(Math.abs(actual[i]! - value) <= 10 * tolerance));
      }
    }
    optimizer.release();
    device.close();
  });
}

Deno.test("cleared, an optimizer is a new one", async () => {
  const results = await Promise.all([false, true].map(async (used) => {
    const device = new ReferenceDevice();
    const slabs = makeSlabs(device);
    const optimizer = new AdamW(device, slabs, OPTIONS, 1, 0.1);
    if (used) {
      step(device, optimizer, slabs, 0);
      step(device, optimizer, slabs, 1);
      for (const { name, parameters, gradients } of slabs) {
        device.write(parameters, normal(name, parameters.size));
        device.write(gradients, normal("left over", gradients.size));
      }
      optimizer.clear();
      for (const { gradients } of slabs) {
        assert.ok((await device.readFloats(gradients)).every((gradient) => gradient === 0));
      }
    }
    step(device, optimizer, slabs, 0);
    const values = [];
    for (const { parameters } of slabs) values.push(...await device.readFloats(parameters));
    device.close();
    return values;
  }));
  assert.deepEqual(results[1], results[0]);
});
