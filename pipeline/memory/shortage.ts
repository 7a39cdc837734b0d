/**
 * Whether a stage fits, and the words for it if not.
 *
 * @module
 */

import type { MemoryModel } from "../../kernels/counting/memory_model.ts";
import type { MemoryLimits } from "./limits.ts";
import type { MemoryUse, StageMemory } from "./stage_memory.ts";

/** Kinds that a message names. */
const NAMED_KINDS = 3;

/** Whether a stage fits into some memory. */
export function fits({ device, largestTensor, host }: StageMemory, limits: MemoryLimits): boolean {
  return host.peak <= limits.host && largestTensor <= limits.tensor &&
    (device === null || limits.device === null || device.peak <= limits.device);
}

/** What lacks, as a clause ("it needs ..., but ... has ..."); null if the stage fits, or nothing is known of it. */
export function shortage(
  memory: StageMemory | null,
  { limits, model }: { readonly limits: MemoryLimits; readonly model: MemoryModel | null },
): string | null {
  if (memory === null || fits(memory, limits)) return null;
  const { device, host } = memory;
  if (device !== null && limits.device !== null && device.peak > limits.device) {
    return `it needs ${gigabytes(device.peak)} on the device (${largest(device)}), but ` +
      `${model?.info.description ?? "the device"} has ${gigabytes(limits.device)}`;
  }
  if (memory.largestTensor > limits.tensor) {
    return `its largest tensor takes ${gigabytes(memory.largestTensor)}, but ` +
      `${model?.info.description ?? "the device"} allows ${gigabytes(limits.tensor)}`;
  }
  const use = device !== null && model?.inHostMemory === true ? device : host;
  return `it needs ${gigabytes(host.peak)} of host memory (${
    largest(use)
  }), but this machine has ` +
    `${gigabytes(limits.host)}`;
}

/** "optimizer moments 8.6 GB, gradients 4.3 GB, weights 4.3 GB". */
function largest({ items }: MemoryUse): string {
  return items.toSorted((left, right) => right.bytes - left.bytes).slice(0, NAMED_KINDS)
    .map(({ what, bytes }) => `${what} ${gigabytes(bytes)}`).join(", ");
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
