// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * One conformance case: an operation with its data, run on a device among guard words and compared
 * with the reference under an error bound that follows from the arithmetic.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  type Device,
  type DType,
  type Operations,
  sizeOf,
  type Tensor,
  VIEW_ALIGNMENT,
  type Weight,
} from "../device.ts";
import { ReferenceDevice } from "../reference/device.ts";
import { placeOn, uploadWeight, type WeightData, weightMagnitudes } from "./weights.ts";

/** Unit roundoff of f32. */
const UNIT = 2 ** -24;

/** Absolute error that is always allowed: subnormal numbers may be flushed to zero. */
const TINY = 2 ** -120;

/** What stands around outputs; not NaN, whose payload a device may change. */
const GUARD = 12345.678;

/** A tensor that an operation reads; u32 if the data are. */
export interface Input {
  /** Dimensions. */
  readonly shape: readonly number[];
  /** Contents. */
  readonly data: Float32Array | Uint32Array;
}

/**
 * The terms S whose rounding errors add up in an element: the allowed error is
 * `(8 + 4 sqrt(terms)) 2^-24 S`, twice the standard deviation of `terms` random roundings, and some
 * for the built-in functions of WGSL.
 *
 * `absolute`: the same operation on absolute values, right for whatever is linear in its inputs.
 * `relative`: the absolute value of the result, for positive terms. `exact`: no error.
 */
export type Magnitude = "absolute" | "relative" | "exact" | Float64Array;

/** A tensor that an operation writes. */
export interface Output {
  /** Dimensions. */
  readonly shape: readonly number[];
  /** Default: f32. */
  readonly dtype?: DType;
  /** What is there before, in f32; default NaN (all bits set in u32), for what must be overwritten. */
  readonly initial?: Float32Array;
  /** Terms that are summed in one element. */
  readonly terms: number;
  /** The size of those terms. */
  readonly magnitude: Magnitude;
}

/** Finds a tensor of a case by its name. */
export type Lookup = (name: string) => Tensor;

/** An operation with its data. */
export interface Case {
  /** The shape in words, for error messages. */
  readonly label: string;
  /** Tensors by name. */
  readonly inputs: Readonly<Record<string, Input>>;
  /** Uploaded and passed to `record`. */
  readonly weight?: WeightData;
  /** More weights, passed to `record` in this order. */
  readonly weights?: readonly WeightData[];
  /** Tensors by name; names differ from those of inputs. */
  readonly outputs: Readonly<Record<string, Output>>;
  /** Calls the operation. */
  record(
    operations: Operations,
    tensor: Lookup,
    weight: Weight,
    weights: readonly Weight[],
  ): void;
}

/** Contents of one output. */
type Contents = Float32Array | Float64Array | Uint32Array;

/** Contents of the outputs of a case, by name. */
export type Results = Readonly<Record<string, Contents>>;

/**
 * Runs a case on a device twice and checks that the two runs agree bit by bit and that nothing
 * beside the outputs is touched. Inputs stand among NaN, so that reading beside them shows.
 */
export async function runCase(device: Device, testCase: Case): Promise<Results> {
  const owned: Tensor[] = [];
  const place = (
    dtype: DType,
    shape: readonly number[],
    data: ArrayLike<number>,
    label: string,
  ) => {
    const guarded = guardedTensor(device, dtype, shape, label);
    owned.push(guarded.whole);
    device.write(
      guarded.whole,
      dtype === "u32"
        ? new Uint32Array(guarded.whole.size).fill(0xffffffff)
        : new Float32Array(guarded.whole.size).fill(NaN),
    );
    device.write(
      guarded.part,
      dtype === "u32" ? Uint32Array.from(data) : Float32Array.from(data),
    );
    return guarded.part;
  };

  const tensors = new Map<string, Tensor>();
  for (const [name, { shape, data }] of Object.entries(testCase.inputs)) {
    tensors.set(name, place(data instanceof Uint32Array ? "u32" : "f32", shape, data, name));
  }
  const weight = testCase.weight ? uploadWeight(testCase.weight, place) : EMPTY_WEIGHT;
  const weights = (testCase.weights ?? []).map((data) => uploadWeight(data, place));
  const outputs = new Map<string, Guarded>();
  for (const [name, { shape, dtype = "f32" }] of Object.entries(testCase.outputs)) {
    const guarded = guardedTensor(device, dtype, shape, name);
    owned.push(guarded.whole);
    outputs.set(name, guarded);
    tensors.set(name, guarded.part);
  }
  const recording = device.record(testCase.label, (operations) => {
    testCase.record(operations, (name) => find(tensors, name), weight, weights);
  });

  const replay = async () => {
    const results: Record<string, Contents> = {};
    for (const [name, { whole, part }] of outputs) {
      device.write(whole, filled(whole, GUARD));
      device.write(part, testCase.outputs[name]?.initial ?? filled(part, NaN));
    }
    device.run(recording);
    for (const [name, { whole, part }] of outputs) {
      const contents = await read(device, whole);
      const [guard] = filled(whole, GUARD);
      for (let i = 0; i < whole.size; i++) {
        if (i >= VIEW_ALIGNMENT && i < VIEW_ALIGNMENT + part.size) continue;
        assert.equal(
          contents[i],
          guard,
          `${testCase.label}: wrote beside ${name}, ${i - VIEW_ALIGNMENT} of ${part.size}`,
        );
      }
      results[name] = contents.slice(VIEW_ALIGNMENT, VIEW_ALIGNMENT + part.size);
    }
    return results;
  };
  const first = await replay();
  const second = await replay();
  for (const [name, contents] of Object.entries(second)) {
    assert.deepEqual(contents, first[name], `${testCase.label}: two runs differ in ${name}`);
  }
  await device.settle();
  recording.release();
  for (const tensor of owned) device.free(tensor);
  return second;
}

/** What the reference computes for a case. */
export async function expectedResults(testCase: Case): Promise<Results> {
  return await runPlain(testCase, false);
}

/**
 * Compares a device with the reference on one case.
 *
 * @returns The largest error relative to its bound, at most 1.
 * @throws {AssertionError} If an error exceeds its bound; it names the element.
 */
export async function checkCase(device: Device, testCase: Case): Promise<number> {
  const actual = await runCase(device, testCase);
  const expected = await expectedResults(testCase);
  const needsAbsolute = Object.values(testCase.outputs).some(({ magnitude }) =>
    magnitude === "absolute"
  );
  const absolute = needsAbsolute ? await runPlain(testCase, true) : expected;
  let largest = 0;
  for (const [name, { terms, magnitude, shape }] of Object.entries(testCase.outputs)) {
    const found = actual[name]!;
    const wanted = expected[name]!;
    const factor = magnitude === "exact" ? 0 : (8 + 4 * Math.sqrt(terms)) * UNIT;
    const sizes = magnitude instanceof Float64Array
      ? magnitude
      : magnitude === "absolute"
      ? absolute[name]!
      : wanted;
    assert.equal(sizes.length, wanted.length, `${testCase.label}: magnitudes of ${name}`);
    for (let i = 0; i < wanted.length; i++) {
      const bound = factor * Math.abs(sizes[i]!) + (magnitude === "exact" ? 0 : TINY);
      const error = Math.abs(found[i]! - wanted[i]!);
      if (!(error <= bound)) {
        assert.fail(
          `${testCase.label}: ${name}[${i}] of [${shape.join(", ")}] is ${
            found[i]
          }, the reference ` +
            `gives ${wanted[i]}; the error ${error} exceeds the bound ${bound}`,
        );
      }
      if (bound > 0) largest = Math.max(largest, error / bound);
    }
  }
  return largest;
}

interface Guarded {
  readonly whole: Tensor;
  readonly part: Tensor;
}

const EMPTY_WEIGHT: Weight = {
  format: "dense",
  rows: 0,
  columns: 0,
  values: { dtype: "f32", shape: [0, 0], size: 0, label: "no weight" },
};

function guardedTensor(
  device: Device,
  dtype: DType,
  shape: readonly number[],
  label: string,
): Guarded {
  const whole = device.tensor(dtype, [sizeOf(shape) + 2 * VIEW_ALIGNMENT], `${label} (guarded)`);
  return { whole, part: device.view(whole, VIEW_ALIGNMENT, shape, label) };
}

/** Runs a case once on a fresh reference device, with or without the signs of its data. */
async function runPlain(testCase: Case, absolute: boolean): Promise<Results> {
  const device = new ReferenceDevice();
  const place = placeOn(device);
  const tensors = new Map<string, Tensor>();
  const signed = (data: Float32Array) => absolute ? data.map(Math.abs) : data;
  for (const [name, { shape, data }] of Object.entries(testCase.inputs)) {
    tensors.set(
      name,
      data instanceof Uint32Array
        ? place("u32", shape, data, name)
        : place("f32", shape, signed(data), name),
    );
  }
  for (const [name, { shape, dtype = "f32", initial }] of Object.entries(testCase.outputs)) {
    const contents = initial ? signed(initial) : filled({ dtype, size: sizeOf(shape) }, NaN);
    tensors.set(name, place(dtype, shape, contents, name));
  }
  const upload = (data: WeightData) =>
    absolute ? uploadMagnitudes(device, data) : uploadWeight(data, place);
  const weight = testCase.weight ? upload(testCase.weight) : EMPTY_WEIGHT;
  const weights = (testCase.weights ?? []).map(upload);
  device.run(device.record(testCase.label, (operations) => {
    testCase.record(operations, (name) => find(tensors, name), weight, weights);
  }));
  const results: Record<string, Contents> = {};
  for (const name of Object.keys(testCase.outputs)) {
    results[name] = await read(device, find(tensors, name));
  }
  device.close();
  return results;
}

/** Values for a whole tensor; in words, NaN is a number that no operation gives. */
function filled(
  { dtype, size }: Pick<Tensor, "dtype" | "size">,
  value: number,
): Float32Array | Uint32Array {
  return dtype === "f32"
    ? new Float32Array(size).fill(value)
    : new Uint32Array(size).fill(Number.isNaN(value) ? 0xffffffff : value);
}

async function read(device: Device, tensor: Tensor): Promise<Contents> {
  return await (tensor.dtype === "f32" ? device.readFloats(tensor) : device.readWords(tensor));
}

function uploadMagnitudes(device: Device, data: WeightData): Weight {
  const { rows, columns } = data;
  const values = device.tensor("f32", [rows, columns], "weight magnitudes");
  device.write(values, weightMagnitudes(data));
  return { format: "dense", rows, columns, values };
}

function find(tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = tensors.get(name);
  if (!tensor) throw new RangeError(`This case has no tensor "${name}"`);
  return tensor;
}
