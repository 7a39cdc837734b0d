/**
 * Tensors on WebGPU: a range of a buffer with a type and a shape.
 *
 * @module
 */

import { type DType, sizeOf, type Tensor, VIEW_ALIGNMENT } from "../device.ts";

/** Memory that a tensor, its views, or the scratch tensors of one recording share. */
export interface Allocation {
  /** Null until a recording knows how much scratch its operations need together. */
  buffer: GPUBuffer | null;
  /** Bytes asked for. */
  bytes: number;
  /** True after {@linkcode Device.free}: the buffer may already belong to another tensor. */
  freed: boolean;
  /** The device that made it. */
  readonly owner: unknown;
}

/** A tensor of one {@linkcode WebgpuDevice}. */
export class WebgpuTensor implements Tensor {
  /** Type of elements. */
  readonly dtype: DType;
  /** Dimensions. */
  readonly shape: readonly number[];
  /** Product of the dimensions. */
  readonly size: number;
  /** For error messages. */
  readonly label: string;
  /** Where its bytes are. */
  readonly allocation: Allocation;
  /** First element, counted from the start of the allocation. */
  readonly offset: number;
  /** Whether this is a part of another tensor rather than an allocation of its own. */
  readonly isView: boolean;

  /** A tensor over `allocation`, `offset` elements in. */
  constructor(
    allocation: Allocation,
    offset: number,
    dtype: DType,
    shape: readonly number[],
    label: string,
    isView = false,
  ) {
    this.allocation = allocation;
    this.offset = offset;
    this.dtype = dtype;
    this.shape = [...shape];
    this.size = sizeOf(shape);
    this.label = label;
    this.isView = isView;
  }
}

/**
 * Bytes to bind for a tensor: rounded up so that kernels may read the last, partial `vec4`. Allocations
 * are padded to 256 bytes, so the rounding stays inside them.
 */
export function boundBytes({ size }: Tensor): number {
  return Math.max(16, Math.ceil(size / 4) * 16);
}

/** The WebGPU tensor behind a handle. @throws {TypeError} If another device made it. */
export function webgpuTensor(tensor: Tensor): WebgpuTensor {
  if (tensor instanceof WebgpuTensor) return tensor;
  throw new TypeError(
    `The tensor "${tensor.label}" belongs to another device; allocate it on the WebGPU device`,
  );
}

/**
 * A part of a tensor, `offset` elements in.
 *
 * @throws {RangeError} If `offset` is not a multiple of {@linkcode VIEW_ALIGNMENT} or the view
 *   reaches beyond the tensor.
 */
export function viewOf(
  tensor: Tensor,
  offset: number,
  shape: readonly number[],
  label?: string,
): WebgpuTensor {
  const whole = webgpuTensor(tensor);
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
  const name = label ?? `${whole.label}[${offset}]`;
  return new WebgpuTensor(whole.allocation, whole.offset + offset, whole.dtype, shape, name, true);
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

/** An amount of memory for people. */
export function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
