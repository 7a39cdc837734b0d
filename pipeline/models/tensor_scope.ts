/**
 * Tensors that live and die together.
 *
 * @module
 */

import type { Device, DType, Tensor } from "../../kernels/device.ts";

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

  /** Frees everything allocated here. */
  release(): void {
    for (const tensor of this.#tensors.splice(0)) this.device.free(tensor);
  }
}
