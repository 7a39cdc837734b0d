/**
 * Tensors that live and die together.
 *
 * @module
 */

import { type Device, type DType, sizeOf, type Tensor } from "../../kernels/device.ts";

/** Remembers what it allocates on a device, to free it at once. */
export class TensorScope {
  readonly device: Device;
  readonly #tensors: Tensor[] = [];

  constructor(device: Device) {
    this.device = device;
  }

  /** {@linkcode Device.tensor}, remembered. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const tensor = this.device.tensor(dtype, shape, label);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** What was allocated as number `index`, from 0; undefined if there were not so many. */
  at(index: number): Tensor | undefined {
    return this.#tensors[index];
  }

  /** Frees everything allocated here. */
  release(): void {
    for (const tensor of this.#tensors.splice(0)) this.device.free(tensor);
  }
}

/**
 * Gives out the beginnings of what another scope has allocated, in the same order: for two uses of the
 * same memory that take turns. Both must ask for the same things, here at most as large.
 */
export class SharedScope extends TensorScope {
  readonly #whole: TensorScope;
  #next = 0;

  constructor(whole: TensorScope) {
    super(whole.device);
    this.#whole = whole;
  }

  /**
   * A view of the tensor that has this place in the other scope.
   *
   * @throws {RangeError} If there is none, or it is another.
   */
  override tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const tensor = this.#whole.at(this.#next++);
    if (tensor?.label !== label || tensor.dtype !== dtype || tensor.size < sizeOf(shape)) {
      throw new RangeError(`The memory for "${label}" is that of "${tensor?.label}"`);
    }
    return this.device.view(tensor, 0, shape, label);
  }
}
