/**
 * The best values that training has seen so far, beside those that train.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { ParameterSlab } from "../models/parameters.ts";
import { TensorScope } from "../models/tensor_scope.ts";

/** A copy of some slabs on their device. */
export class KeptBest {
  readonly #scope: TensorScope;
  readonly #pairs: readonly (readonly [ParameterSlab["parameters"], ParameterSlab["parameters"]])[];

  /** Allocates; there is nothing to restore before the first {@linkcode keep}. */
  constructor(device: Device, slabs: readonly ParameterSlab[]) {
    const scope = this.#scope = new TensorScope(device);
    this.#pairs = slabs.map(({ name, parameters }) => [
      parameters,
      scope.tensor("f32", [parameters.size], `best of ${name}`),
    ]);
  }

  /** Queues a copy of the values as they are now. */
  keep(): void {
    for (const [parameters, kept] of this.#pairs) {
      this.#scope.device.copy(parameters, 0, kept, 0, kept.size);
    }
  }

  /** Queues the way back. */
  restore(): void {
    for (const [parameters, kept] of this.#pairs) {
      this.#scope.device.copy(kept, 0, parameters, 0, kept.size);
    }
  }

  /** Frees the copy. */
  release(): void {
    this.#scope.release();
  }
}
