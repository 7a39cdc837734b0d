/**
 * What memory there is.
 *
 * @module
 */

import process from "node:process";
import type { MemoryModel } from "../../kernels/counting/memory_model.ts";

/** Bytes that a run may take. */
export interface MemoryLimits {
  /** What the machine, or the container, has for one process; more than this never fits. */
  readonly host: number;
  /** What of it is free now. */
  readonly hostAvailable: number;
  /** What the device has; null if it does not tell. */
  readonly device: number | null;
  /** The largest tensor that the device makes. */
  readonly tensor: number;
}

/** The limits of this machine and of a device. */
export function memoryLimits(model: MemoryModel | null): MemoryLimits {
  const { total, available } = Deno.systemMemoryInfo();
  // The limit of the control group, where there is one; else a number beyond all memory.
  const constrained = process.constrainedMemory();
  return {
    host: Math.min(total, constrained > 0 ? constrained : Infinity),
    hostAvailable: Math.min(available, process.availableMemory()),
    device: model?.memoryBytes ?? null,
    tensor: model?.info.maxTensorBytes ?? Infinity,
  };
}
