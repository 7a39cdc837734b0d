/**
 * Tensors on the CPU device: a range of linear memory with a type and a shape.
 *
 * @module
 */

import { type DType, sizeOf, type Tensor, VIEW_ALIGNMENT } from "../device.ts";
import type { Range } from "./memory.ts";

/** Memory that a tensor, its views, or the scratch tensors of one recording share. */
export interface Allocation {
  /** Null until a recording knows how much scratch its operations need together. */
  range: Range | null;
  /** Bytes asked for. */
  bytes: number;
  /** True after {@linkcode Device.free}: the range may already belong to another tensor. */
  freed: boolean;
  /** The device that made it. */
  readonly owner: unknown;
}

/** A tensor of one {@linkcode CpuDevice}. */
export class CpuTensor implements Tensor {
  /** Product of the dimensions. */
  readonly size: number;

  /** A tensor over `allocation`, `offset` elements in. */
  constructor(
    readonly allocation: Allocation,
    /** First element, counted from the start of the allocation. */
    readonly offset: number,
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly label: string,
    /** Whether this is a part of another tensor rather than an allocation of its own. */
    readonly isView = false,
  ) {
    this.size = sizeOf(shape);
  }

  /** Where its first element lies; only once its allocation has memory. */
  get address(): number {
    if (this.allocation.range === null) throw new Error(`"${this.label}" has no memory yet`);
    return this.allocation.range.address + 4 * this.offset;
  }
}

/** The CPU tensor behind a handle. @throws {TypeError} If another device made it. */
export function cpuTensor(tensor: Tensor): CpuTensor {
  if (tensor instanceof CpuTensor) return tensor;
  throw new TypeError(
    `The tensor "${tensor.label}" belongs to another device; allocate it on the CPU device`,
  );
}

/**
 * A part of a tensor, `offset` elements in.
 *
 * @throws {RangeError} If `offset` is not a multiple of {@linkcode VIEW_ALIGNMENT} or the view
 *   reaches beyond the tensor.
 */
export function viewOf(
  whole: CpuTensor,
  offset: number,
  shape: readonly number[],
  label?: string,
): CpuTensor {
  if (!Number.isInteger(offset) || offset < 0 || offset % VIEW_ALIGNMENT !== 0) {
    throw new RangeError(
      `A view of "${whole.label}" cannot start at element ${offset}: ` +
        `use a multiple of ${VIEW_ALIGNMENT}`,
    );
  }
  checkDimensions(shape, label ?? whole.label);
  const size = sizeOf(shape);
  if (offset + size > whole.size) {
    throw new RangeError(
      `A view of "${whole.label}" cannot hold elements ${offset} to ${offset + size}: ` +
        `the tensor has ${whole.size}`,
    );
  }
  const { allocation, dtype } = whole;
  const name = label ?? `${whole.label}[${offset}]`;
  return new CpuTensor(allocation, whole.offset + offset, dtype, [...shape], name, true);
}

/**
 * Checks the shape of a tensor to be made.
 *
 * @throws {RangeError} If a dimension is not a positive integer.
 */
export function checkDimensions(shape: readonly number[], label: string): void {
  if (shape.some((dimension) => !Number.isSafeInteger(dimension) || dimension < 1)) {
    throw new RangeError(
      `The tensor "${label}" cannot have the shape [${shape.join(", ")}]: ` +
        `every dimension must be a positive integer`,
    );
  }
}
