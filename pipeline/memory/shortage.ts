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
export function fits(memory: StageMemory, limits: MemoryLimits): boolean {
  const { device, largestTensor, refused, host } = memory;
  return refused === null && host.peak <= limits.host && largestTensor.bytes <= limits.tensor &&
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
    return `it needs ${sized(device.peak)} on the device (${largest(device)}), but ` +
      `${model?.info.description ?? "the device"} has ${sized(limits.device)}`;
  }
  const { label, bytes } = memory.largestTensor;
  if (bytes > limits.tensor) {
    return `its tensor "${label}" takes ${sized(bytes)}, but ` +
      `${model?.info.description ?? "the device"} allows ${sized(limits.tensor)}`;
  }
  if (memory.refused !== null) return `the device refuses it (${memory.refused})`;
  const use = device !== null && model?.inHostMemory === true ? device : host;
  return `it needs ${sized(host.peak)} of host memory (${largest(use)}), but this machine has ` +
    `${sized(limits.host)}`;
}

/** "optimizer moments 8.6 GB, gradients 4.3 GB, weights 4.3 GB". */
function largest({ items }: MemoryUse): string {
  return items.toSorted((left, right) => right.bytes - left.bytes).slice(0, NAMED_KINDS)
    .map(({ what, bytes }) => `${what} ${sized(bytes)}`).join(", ");
}

/** "8.70 GB": to three digits, because limits are often missed by little. */
function sized(bytes: number): string {
  const [unit, name] = bytes < 1e9 ? [1e6, "MB"] : bytes < 1e12 ? [1e9, "GB"] : [1e12, "TB"];
  return `${(bytes / unit).toPrecision(3)} ${name}`;
}
