/**
 * Tensors of a device in parts that pass through the host one after another, in the same memory.
 *
 * @module
 */

import type { Device, Tensor } from "../../kernels/device.ts";

/** Elements of a part: 4 MiB of f32. */
const PART_ELEMENTS = 1 << 20;

/** Some elements of a tensor. */
export interface TensorPart<Values> {
  /** Index of the first of them. */
  readonly first: number;
  readonly values: Values;
}

/** Where the parts of a tensor are, first to last. */
export function* parts(
  { size }: Pick<Tensor, "size">,
): Generator<{ readonly first: number; readonly count: number }> {
  for (let first = 0; first < size; first += PART_ELEMENTS) {
    yield { first, count: Math.min(PART_ELEMENTS, size - first) };
  }
}

/**
 * Reads an f32 tensor, part by part, in the device's own precision (f64 on `reference`). A part is
 * valid until the next one.
 */
export async function* readParts(
  device: Device,
  tensor: Tensor,
): AsyncGenerator<TensorPart<Float32Array | Float64Array>> {
  const memory = new ArrayBuffer(
    Float64Array.BYTES_PER_ELEMENT * Math.min(PART_ELEMENTS, tensor.size),
  );
  for (const { first, count } of parts(tensor)) {
    yield { first, values: await device.readFloats(device.view(tensor, first, [count]), memory) };
  }
}
