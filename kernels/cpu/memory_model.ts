/**
 * What the CPU device holds, without its threads and memory: operations are compiled to their kernel
 * calls as always, so that scratch and commands are those of the real recording.
 *
 * @module
 */

import type { MemoryModel, Recorder as Counter } from "../counting/memory_model.ts";
import { type DeviceInfo, type DType, type RecordOptions, sizeOf, type Tensor } from "../device.ts";
import { COMMAND, type Kernel, PARAMETER_BYTES, type Parameters } from "./kernel.ts";
import { createOperations } from "./operations.ts";
import type { Recorder } from "./recorder.ts";
import { checkDimensions, CpuTensor, cpuTensor, viewOf } from "./tensor.ts";

/** Memory of the device that `info` describes. */
export function cpuMemory(info: DeviceInfo): MemoryModel {
  return {
    info,
    inHostMemory: true,
    memoryBytes: info.maxTensorBytes,
    tensor: (dtype, shape, label) => {
      checkDimensions(shape, label);
      return tensorOf(dtype, shape, label);
    },
    view: (tensor, offset, shape, label) => viewOf(cpuTensor(tensor), offset, shape, label),
    tensorBytes: ({ size }) => 4 * size,
    recorder: (options) => new CallCounter(options),
  };
}

/** Counts what `RecordingBuilder` would take. */
class CallCounter implements Recorder, Counter {
  readonly wide = false;
  readonly independentRows: boolean;
  readonly operations = createOperations(this);
  readonly #slots: number[] = [];
  #slotsInUse = 0;
  #commandBytes = 0;

  constructor({ independentRows = false }: RecordOptions = {}) {
    this.independentRows = independentRows;
  }

  call<P extends Parameters>(kernel: Kernel<P>): void {
    this.#commandBytes += COMMAND.parameters +
      PARAMETER_BYTES * Object.keys(kernel.parameters).length;
  }

  /** Shared by all recordings, and small. */
  constant(values: Float32Array): Tensor {
    return tensorOf("f32", [values.length], "constant");
  }

  scratch(dtype: DType, shape: readonly number[]): Tensor {
    const slot = this.#slotsInUse++;
    this.#slots[slot] = Math.max(this.#slots[slot] ?? 0, 4 * sizeOf(shape));
    return tensorOf(dtype, shape, "scratch");
  }

  endOperation(): void {
    this.#slotsInUse = 0;
  }

  bytes(): number {
    return this.#slots.reduce((sum, bytes) => sum + bytes, this.#commandBytes);
  }
}

function tensorOf(dtype: DType, shape: readonly number[], label: string): CpuTensor {
  const allocation = { range: null, bytes: 4 * sizeOf(shape), freed: false, owner: null };
  return new CpuTensor(allocation, 0, dtype, [...shape], label);
}
