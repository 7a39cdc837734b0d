/**
 * How one kind of device uses memory: what a {@linkcode CountingDevice} has to know of it.
 *
 * @module
 */

import {
  type DeviceInfo,
  type DType,
  type Operations,
  type RecordOptions,
  sizeOf,
  type Tensor,
  VIEW_ALIGNMENT,
} from "../device.ts";
import * as shapes from "../shapes.ts";

/** What a recording would hold besides the tensors of its caller. */
export interface Recorder {
  /** Takes the operations of the recording, and checks their shapes. */
  readonly operations: Operations;
  /** Bytes of scratch and of anything else that lives as long as the recording. */
  bytes(): number;
}

/** Memory of one kind of device. */
export interface MemoryModel {
  /** Of the device that is stood in for. */
  readonly info: DeviceInfo;
  /** Whether the memory of the device is the host's own. */
  readonly inHostMemory: boolean;
  /** Bytes that the device can hold; null if it does not tell. */
  readonly memoryBytes: number | null;
  /** A handle that the operations of {@linkcode MemoryModel.recorder} accept. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor;
  /** A part of one. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor;
  /** Bytes that the device counts for a tensor. */
  tensorBytes(tensor: Tensor): number;
  /** For one recording. */
  recorder(options?: RecordOptions): Recorder;
}

/**
 * Memory of a device without scratch. `bytesPerFloat` is 8 on the reference device.
 *
 * @param description Of the device, for messages.
 */
export function plainMemory(
  description: string,
  maxTensorBytes: number,
  bytesPerFloat: 4 | 8 = 4,
): MemoryModel {
  return {
    info: {
      name: bytesPerFloat === 8 ? "reference" : "cpu",
      class: description,
      description,
      maxTensorBytes,
    },
    inHostMemory: true,
    memoryBytes: null,
    tensor: (dtype, shape, label) => ({ dtype, shape: [...shape], size: sizeOf(shape), label }),
    view: (whole, offset, shape, label) => {
      const size = sizeOf(shape);
      if (offset % VIEW_ALIGNMENT !== 0 || offset < 0 || offset + size > whole.size) {
        throw new RangeError(
          `Cannot view ${size} elements at offset ${offset} of "${whole.label}": it has ` +
            `${whole.size}, and offsets are multiples of ${VIEW_ALIGNMENT}`,
        );
      }
      return { dtype: whole.dtype, shape: [...shape], size, label: label ?? whole.label };
    },
    tensorBytes: ({ dtype, size }) => size * (dtype === "f32" ? bytesPerFloat : 4),
    recorder: () => ({ operations: CHECKS, bytes: () => 0 }),
  };
}

/**
 * Operations that only check their shapes: `linear` is `checkLinear` of `shapes.ts`, and so on for
 * every operation, those to come included.
 */
const CHECKS = Object.fromEntries(
  Object.entries(shapes).map(([name, check]) => [
    name.replace(/^check(.)/, (_, first: string) => first.toLowerCase()),
    check,
  ]),
) as unknown as Operations;
