/**
 * Values that may train: frozen ones are tensors of their own, trained ones are parts of a few flat
 * slabs, so that the optimizer is one dispatch whatever the number of layers.
 *
 * @module
 */

import { type Device, sizeOf, type Tensor, VIEW_ALIGNMENT } from "../../kernels/device.ts";

/** Trainable values as one flat tensor, with gradients and optimizer state of the same size. */
export interface ParameterSlab {
  readonly name: string;
  readonly parameters: Tensor;
  readonly gradients: Tensor;
  /** Whether weight decay applies (not to norms and biases). */
  readonly decay: boolean;
}

/** A value of the model and, if it trains, where its gradient accumulates. */
export interface Parameter {
  readonly value: Tensor;
  readonly gradient: Tensor | null;
}

/** Name and shape of a value to train. */
export interface ParameterShape {
  readonly name: string;
  readonly shape: readonly number[];
  /** Whether weight decay applies: to matrices, not to norms and biases. */
  readonly decay: boolean;
}

/** All trained values of one model on one device. */
export class ParameterSpace {
  readonly slabs: readonly ParameterSlab[];
  /** Number of trained values, padding not counted. */
  readonly count: number;
  readonly #device: Device;
  readonly #parameters = new Map<string, Parameter>();

  /** @throws {RangeError} If one value alone is larger than the device's largest tensor. */
  constructor(device: Device, shapes: readonly ParameterShape[]) {
    this.#device = device;
    this.count = shapes.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const slabs: ParameterSlab[] = [];
    for (const decay of [true, false]) {
      const group = shapes.filter((shape) => shape.decay === decay);
      for (const members of partition(group, Math.floor(device.info.maxTensorBytes / 4))) {
        slabs.push(this.#allocate(members, decay, slabs.length));
      }
    }
    this.slabs = slabs;
  }

  /** The trained value of this name, or null if it is frozen. */
  get(name: string): Parameter | null {
    return this.#parameters.get(name) ?? null;
  }

  /** Names of all trained values, in slab order. */
  names(): Iterable<string> {
    return this.#parameters.keys();
  }

  /** The trained value of this name, or a new frozen tensor. */
  place(name: string, shape: readonly number[]): Parameter {
    return this.get(name) ??
      { value: this.#device.tensor("f32", shape, name), gradient: null };
  }

  #allocate(members: readonly ParameterShape[], decay: boolean, index: number): ParameterSlab {
    const size = members.reduce((sum, { shape }) => sum + padded(shape), 0);
    const name = `parameters ${index}`;
    // A value too large for the device is alone in its slab, and is what messages should name.
    const label = members.length === 1 && members[0] !== undefined ? members[0].name : name;
    const parameters = this.#device.tensor("f32", [size], label);
    const gradients = this.#device.tensor("f32", [size], `gradients of ${label}`);
    let offset = 0;
    for (const { name, shape } of members) {
      this.#parameters.set(name, {
        value: this.#device.view(parameters, offset, shape, name),
        gradient: this.#device.view(gradients, offset, shape, `gradient of ${name}`),
      });
      offset += padded(shape);
    }
    return { name, parameters, gradients, decay };
  }
}

function padded(shape: readonly number[]): number {
  return Math.ceil(sizeOf(shape) / VIEW_ALIGNMENT) * VIEW_ALIGNMENT;
}

/** Consecutive runs of shapes that fit into `limit` elements each. */
function* partition(
  shapes: readonly ParameterShape[],
  limit: number,
): Generator<readonly ParameterShape[]> {
  let members: ParameterShape[] = [];
  let size = 0;
  for (const shape of shapes) {
    if (members.length > 0 && size + padded(shape.shape) > limit) {
      yield members;
      members = [];
      size = 0;
    }
    members.push(shape);
    size += padded(shape.shape);
  }
  if (members.length > 0) yield members;
}
