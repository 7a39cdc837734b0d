/**
 * Scratch memory for the parts of one operation, which run one after the other.
 *
 * @module
 */

import { type DType, sizeOf, type Tensor } from "../device.ts";
import type { KernelContext } from "./program.ts";
import { viewOf } from "./tensor.ts";

/** Gives every part the scratch of the first one: parts ask for equal or smaller tensors. */
export class ScratchReuse {
  readonly #context: KernelContext;
  readonly #tensors: Tensor[] = [];

  /** Takes memory from `context`. */
  constructor(context: KernelContext) {
    this.#context = context;
  }

  /** The context of the next part; what the part before left in its scratch may be overwritten. */
  next(): KernelContext {
    let index = 0;
    return {
      profile: this.#context.profile,
      scratch: (dtype: DType, shape: readonly number[]) => {
        const known = this.#tensors[index];
        if (known && known.dtype === dtype && known.size >= sizeOf(shape)) {
          index++;
          return viewOf(known, 0, shape);
        }
        const tensor = this.#context.scratch(dtype, shape);
        this.#tensors[index++] = tensor;
        return tensor;
      },
    };
  }
}
