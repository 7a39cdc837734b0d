/**
 * Host memory behind the handles of {@linkcode ReferenceDevice}: f32 tensors are Float64Arrays, u32
 * tensors Uint32Arrays, views are subarrays.
 *
 * @module
 */

import { type DeviceMemory, type DType, sizeOf, type Tensor, VIEW_ALIGNMENT } from "../device.ts";

/** One allocation; a tensor and all its views share it. */
export interface Allocation {
  /** Label of the tensor that was allocated. */
  readonly label: string;
  /** Bytes it occupies on the host. */
  readonly bytes: number;
  /** Set by {@linkcode Memory.free}. */
  freed: boolean;
}

class ReferenceTensor implements Tensor {
  readonly size: number;

  constructor(
    readonly shape: readonly number[],
    readonly label: string,
    readonly data: Float64Array | Uint32Array,
    readonly allocation: Allocation,
    readonly isView: boolean,
  ) {
    this.size = data.length;
  }

  get dtype(): DType {
    return this.data instanceof Uint32Array ? "u32" : "f32";
  }
}

/** Allocates, views, frees and resolves tensors, and counts their bytes. */
export class Memory {
  readonly #tensors = new Set<ReferenceTensor>();
  readonly #allocations = new Set<Allocation>();
  readonly #maxTensorBytes: number;
  #current = 0;
  #peak = 0;

  /** Makes empty memory whose allocations take at most `maxTensorBytes` each. */
  constructor(maxTensorBytes: number) {
    this.#maxTensorBytes = maxTensorBytes;
  }

  /** See {@linkcode Device.tensor}. */
  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const size = checkedSize(shape, label);
    const bytes = size * (dtype === "u32" ? 4 : 8);
    if (bytes > this.#maxTensorBytes) {
      throw new RangeError(
        `Cannot allocate "${label}" [${shape.join(", ")}]: it needs ${bytes} bytes, but a tensor ` +
          `of this device holds at most ${this.#maxTensorBytes}; split it`,
      );
    }
    const allocation = { label, bytes, freed: false };
    const data = dtype === "u32" ? new Uint32Array(size) : new Float64Array(size);
    this.#allocations.add(allocation);
    this.#current += bytes;
    this.#peak = Math.max(this.#peak, this.#current);
    return this.#register(new ReferenceTensor([...shape], label, data, allocation, false));
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    const whole = this.#own(tensor);
    const name = label ?? `${tensor.label}+${offset}`;
    const size = checkedSize(shape, name);
    if (!Number.isInteger(offset) || offset < 0 || offset % VIEW_ALIGNMENT !== 0) {
      throw new RangeError(
        `Cannot view "${tensor.label}" at offset ${offset}: offsets are multiples of ${VIEW_ALIGNMENT}`,
      );
    }
    if (offset + size > tensor.size) {
      throw new RangeError(
        `Cannot view ${size} elements at offset ${offset} of "${tensor.label}": it has ${tensor.size}`,
      );
    }
    const data = whole.data.subarray(offset, offset + size);
    return this.#register(new ReferenceTensor([...shape], name, data, whole.allocation, true));
  }

  /** See {@linkcode Device.free}. */
  free(tensor: Tensor): void {
    const { allocation, isView } = this.#own(tensor);
    if (isView) {
      throw new RangeError(
        `Cannot free "${tensor.label}": it is a view of "${allocation.label}"; free that instead`,
      );
    }
    allocation.freed = true;
    this.#allocations.delete(allocation);
    this.#current -= allocation.bytes;
    for (const other of this.#tensors) {
      if (other.allocation === allocation) this.#tensors.delete(other);
    }
  }

  /** Frees everything. */
  clear(): void {
    for (const allocation of this.#allocations) allocation.freed = true;
    this.#allocations.clear();
    this.#tensors.clear();
    this.#current = 0;
  }

  /** The elements of a live tensor, whatever their type. */
  data(tensor: Tensor): Float64Array | Uint32Array {
    return this.#own(tensor).data;
  }

  /** The elements of a live f32 tensor. */
  floats(tensor: Tensor): Float64Array {
    const { data } = this.#own(tensor);
    if (data instanceof Float64Array) return data;
    throw new TypeError(`"${tensor.label}" holds u32, but f32 is needed`);
  }

  /** The elements of a live u32 tensor. */
  words(tensor: Tensor): Uint32Array {
    const { data } = this.#own(tensor);
    if (data instanceof Uint32Array) return data;
    throw new TypeError(`"${tensor.label}" holds f32, but u32 is needed`);
  }

  /** The allocation behind a live tensor. */
  allocationOf(tensor: Tensor): Allocation {
    return this.#own(tensor).allocation;
  }

  /** See {@linkcode Device.memory}. */
  usage(): DeviceMemory {
    return { current: this.#current, peak: this.#peak };
  }

  #register(tensor: ReferenceTensor): Tensor {
    this.#tensors.add(tensor);
    return tensor;
  }

  #own(tensor: Tensor): ReferenceTensor {
    if (tensor instanceof ReferenceTensor && this.#tensors.has(tensor)) return tensor;
    throw new RangeError(
      tensor instanceof ReferenceTensor && tensor.allocation.freed
        ? `"${tensor.label}" was freed and cannot be used any more`
        : `"${tensor.label}" belongs to another device`,
    );
  }
}

function checkedSize(shape: readonly number[], label: string): number {
  if (shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 1)) {
    throw new RangeError(
      `"${label}" has shape [${shape.join(", ")}]: every dimension must be a positive integer`,
    );
  }
  return sizeOf(shape);
}
