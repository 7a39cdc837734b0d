/**
 * What every device does beside computing: memory, views, ordered writes, replays, refusals.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Device, sizeOf, type Tensor } from "../device.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { checkAdjoints } from "./adjoint.ts";
import { randomFloats, randomIntegers } from "./arrays.ts";
import { CALIBRATION_BAD_CALLS } from "./calibration_errors.ts";
import { GENERATION_BAD_CALLS } from "./generation_errors.ts";
import { independentProducts, independentQueries } from "./independent_rows.ts";
import { BAD_CALLS } from "./shape_errors.ts";
import { placeOn, randomInteger, uploadWeight } from "./weights.ts";

/** Tests of one device, by name. */
export const BEHAVIORS: Readonly<Record<string, (device: Device) => Promise<void> | void>> = {
  "memory is zero-filled, also where a freed tensor was": zeroFilled,
  "writes land at their offset and their data may be reused at once": writes,
  "floats are read into memory of the caller": reads,
  "copies, writes and replays keep their order": ordering,
  "fill and copy of words": words,
  "views share memory with their tensor": views,
  "memory() counts what lives": memory,
  "freed and foreign tensors are refused": refusals,
  "a tensor over the limit is refused": limit,
  "bad shapes are refused when recorded, by name": badShapes,
  "a recording replays with what tensors hold now": replay,
  "backwards are the transposes of forwards": checkAdjoints,
  "more elements than one grid dimension has workgroups": manyElements,
  "with independentRows, products of a row do not depend on the others": independentProducts,
  "with independentRows, a query does not depend on how texts are cut": independentQueries,
};

async function zeroFilled(device: Device): Promise<void> {
  for (let round = 0; round < 2; round++) {
    const tensor = device.tensor("f32", [3, 65], "zeros");
    assert.ok((await device.readFloats(tensor)).every((value) => value === 0));
    device.write(tensor, randomFloats("dirt", tensor.size, 1, 2));
    device.free(tensor);
  }
}

async function writes(device: Device): Promise<void> {
  const floats = device.tensor("f32", [7], "floats");
  const data = Float32Array.of(1.5, -2.5);
  device.write(floats, data, 3);
  data.fill(99);
  device.write(floats, Float64Array.of(0.25), 6);
  assert.deepEqual([...await device.readFloats(floats)], [0, 0, 0, 1.5, -2.5, 0, 0.25]);
  const words = device.tensor("u32", [3], "words");
  device.write(words, Uint32Array.of(0xffffffff, 7), 1);
  assert.deepEqual([...await device.readWords(words)], [0, 0xffffffff, 7]);
  assert.throws(() => device.write(floats, new Float32Array(2), 6), /floats/);
  assert.throws(() => device.write(floats, Uint32Array.of(1)), /floats/);
  await assert.rejects(async () => await device.readWords(floats), /floats/);
  free(device, floats, words);
}

async function reads(device: Device): Promise<void> {
  const tensor = device.tensor("f32", [3], "read");
  device.write(tensor, Float32Array.of(1, 2, 3));
  const own = new ArrayBuffer(64);
  const values = await device.readFloats(tensor, own);
  assert.deepEqual([...values], [1, 2, 3]);
  assert.ok(values.buffer === own && values.byteOffset === 0);
  device.write(tensor, Float32Array.of(4, 5, 6));
  assert.deepEqual([...values], [1, 2, 3]);
  await assert.rejects(async () => await device.readFloats(tensor, new ArrayBuffer(4)), RangeError);
  free(device, tensor);
}

async function ordering(device: Device): Promise<void> {
  const total = device.tensor("f32", [2], "total");
  const step = device.tensor("f32", [2], "step");
  const history = device.tensor("f32", [6], "history");
  const add = device.record("add", (operations) => {
    operations.add({ left: total, right: step, output: total });
  });
  for (let i = 0; i < 3; i++) {
    device.write(step, Float32Array.of(i, 10 * i));
    device.run(add);
    device.copy(total, 0, history, 2 * i, 2);
  }
  assert.deepEqual([...await device.readFloats(history)], [0, 0, 1, 10, 3, 30]);
  add.release();
  free(device, total, step, history);
}

async function words(device: Device): Promise<void> {
  const input = device.tensor("u32", [65], "input");
  const output = device.tensor("u32", [65], "output");
  const filled = device.tensor("u32", [3], "filled");
  const values = randomIntegers("words", 65, 2 ** 32);
  device.write(input, values);
  const recording = device.record("words", (operations) => {
    operations.copy({ input, output });
    operations.fill({ output: filled, value: 0xfffffffe });
  });
  device.run(recording);
  assert.deepEqual([...await device.readWords(output)], [...values]);
  assert.deepEqual([...await device.readWords(filled)], Array(3).fill(0xfffffffe));
  recording.release();
  free(device, input, output, filled);
}

async function views(device: Device): Promise<void> {
  const whole = device.tensor("f32", [200], "whole");
  const part = device.view(whole, 64, [3, 4], "part");
  const inner = device.view(device.view(whole, 64, [136]), 64, [8]);
  assert.deepEqual(part.shape, [3, 4]);
  device.write(part, new Float32Array(12).fill(1));
  device.write(inner, new Float32Array(8).fill(2));
  const contents = await device.readFloats(whole);
  const wanted = Array.from({ length: 200 }, (_, i) => {
    if (i >= 64 && i < 76) return 1;
    return i >= 128 && i < 136 ? 2 : 0;
  });
  assert.deepEqual([...contents], wanted);
  assert.throws(() => device.view(whole, 32, [4]), /32.*64/);
  assert.throws(() => device.view(whole, 192, [9]), /whole/);
  assert.throws(() => device.free(part), /part/);
  free(device, whole);
}

function memory(device: Device): void {
  const before = device.memory();
  const tensor = device.tensor("f32", [1000], "counted");
  const during = device.memory();
  assert.ok(during.current >= before.current + 4000, "an allocation counts");
  assert.ok(during.peak >= during.current, "the peak is at least what lives");
  device.view(tensor, 64, [100]);
  assert.equal(device.memory().current, during.current, "a view does not count");
  const norm = device.tensor("f32", [2], "norm");
  const recording = device.record("scratch", (operations) => {
    operations.gradientNorm({ gradients: [tensor], maxNorm: 1, output: norm });
  });
  recording.release();
  free(device, tensor, norm);
  assert.equal(device.memory().current, before.current, "what is released does not count");
}

function refusals(device: Device): void {
  const tensor = device.tensor("f32", [4], "short-lived");
  const fill = device.record("fill", (operations) => {
    operations.fill({ output: tensor, value: 1 });
  });
  device.free(tensor);
  assert.throws(() => device.free(tensor), /short-lived/);
  assert.throws(() => device.write(tensor, new Float32Array(4)), /short-lived/);
  assert.throws(() => device.run(fill), /short-lived/);
  assert.throws(
    () => device.record("late", (operations) => operations.fill({ output: tensor, value: 1 })),
    /short-lived/,
  );
  const other = new ReferenceDevice();
  const foreign = other.tensor("f32", [4], "foreign");
  assert.throws(() => device.write(foreign, new Float32Array(4)), /foreign/);
  const theirs = other.record("theirs", (operations) => {
    operations.fill({ output: foreign, value: 1 });
  });
  assert.throws(() => device.run(theirs), /theirs/);
  const kept = device.tensor("f32", [4], "kept");
  const released = device.record("released", (operations) => {
    operations.fill({ output: kept, value: 1 });
  });
  released.release();
  assert.throws(() => device.run(released), /released/);
  free(device, kept);
}

function limit(device: Device): void {
  const elements = Math.floor(device.info.maxTensorBytes / 4) + 1;
  assert.throws(() => device.tensor("f32", [elements], "enormous"), {
    name: "RangeError",
    message: /enormous/,
  });
  assert.throws(() => device.tensor("f32", [3, 0], "empty"), RangeError);
  assert.throws(() => device.tensor("f32", [2.5], "fraction"), RangeError);
}

function badShapes(device: Device): void {
  const calls = [...BAD_CALLS, ...GENERATION_BAD_CALLS, ...CALIBRATION_BAD_CALLS];
  for (const { label, message, call } of calls) {
    const made: Tensor[] = [];
    const before = device.memory().current;
    assert.throws(
      () =>
        device.record(label, (operations) => {
          call(operations, (name, shape, dtype = "f32") => {
            const tensor = device.tensor(dtype, shape, name);
            made.push(tensor);
            return tensor;
          });
        }),
      { name: "RangeError", message },
      label,
    );
    free(device, ...made);
    assert.equal(device.memory().current, before, `${label}: a refused recording holds no memory`);
  }
}

/**
 * A linear layer whose input, zeros and hyper-parameters change between replays, trained by AdamW on
 * its bias: three steps on the device and on the reference.
 */
async function replay(device: Device): Promise<void> {
  const found = await steps(device);
  const wanted = await steps(new ReferenceDevice());
  // Three steps of about 100 roundings each.
  for (const [i, value] of wanted.entries()) {
    assert.ok(
      Math.abs((found[i] ?? NaN) - value) <= 1e-5 * (1 + Math.abs(value)),
      `element ${i} is ${found[i]}, not ${value}`,
    );
  }
  assert.deepEqual(await steps(device), found, "two recordings of the same work differ");
}

async function steps(device: Device): Promise<number[]> {
  const place = placeOn(device);
  const start = device.memory().current;
  const owned: Tensor[] = [];
  const make = (name: string, shape: number[]) => {
    const tensor = place("f32", shape, new Float32Array(sizeOf(shape)), name);
    owned.push(tensor);
    return tensor;
  };
  const weight = uploadWeight(randomInteger("replay", 7, 64, 4, 1, 32), (...args) => {
    const tensor = place(...args);
    owned.push(tensor);
    return tensor;
  });
  const input = make("input", [3, 64]);
  const bias = make("bias", [7]);
  const output = make("output", [3, 7]);
  const gradBias = make("gradBias", [7]);
  const [moment1, moment2] = [make("moment1", [7]), make("moment2", [7])];
  const [hyper, norm] = [make("hyper", [8]), make("norm", [2])];
  const recording = device.record("step", (operations) => {
    operations.linear({ input, weight, bias, output });
    operations.fill({ output: gradBias, value: 0 });
    operations.columnSum({ input: output, output: gradBias });
    operations.gradientNorm({ gradients: [gradBias], maxNorm: 1, output: norm });
    operations.adamw({ parameters: bias, gradients: gradBias, moment1, moment2, hyper, norm });
  });
  const results: number[] = [];
  for (let step = 1; step <= 3; step++) {
    device.write(input, randomFloats(`input ${step}`, 3 * 64));
    if (weight.format === "integer") {
      device.write(weight.zeros, randomFloats(`zeros ${step}`, 14, 0, 15));
    }
    const hypers = [0.5 / step, 0.875, 0.96875, 0.0078125, 0.125];
    device.write(hyper, Float32Array.of(...hypers, 1 - 0.875 ** step, 1 - 0.96875 ** step, 0));
    device.run(recording);
    results.push(...await device.readFloats(output), ...await device.readFloats(bias));
    results.push(...await device.readFloats(norm));
  }
  recording.release();
  free(device, ...owned);
  assert.equal(device.memory().current, start);
  return results;
}

/** 65535 workgroups of 256 threads are one grid dimension; embedding tables have more elements. */
async function manyElements(device: Device): Promise<void> {
  const size = 65535 * 256 + 77;
  const left = device.tensor("f32", [size], "left");
  const right = device.tensor("f32", [size], "right");
  const norm = device.tensor("f32", [2], "norm");
  const recording = device.record("many", (operations) => {
    operations.fill({ output: left, value: 0.5 });
    operations.copy({ input: left, output: right });
    operations.add({ left, right, output: right });
    operations.gradientNorm({ gradients: [right], maxNorm: Infinity, output: norm });
  });
  device.run(recording);
  const sums = await device.readFloats(right);
  assert.equal(sums.findIndex((value) => value !== 1), -1, "0.5 + 0.5 is 1 everywhere");
  const [found = NaN] = await device.readFloats(norm);
  assert.ok(Math.abs(found / Math.sqrt(size) - 1) < 1e-5, `the norm is ${found}`);
  recording.release();
  free(device, left, right, norm);
}

function free(device: Device, ...tensors: Tensor[]): void {
  for (const tensor of tensors) device.free(tensor);
}
