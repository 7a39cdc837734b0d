/**
 * The memory of a plan as text: for every stage that is to run, what it holds where, and when.
 *
 * @module
 */

import type { MemoryUse, StageMemory } from "../memory/stage_memory.ts";
import type { PlannedMemory, PlanWithMemory } from "../memory/plan_memory.ts";
import { stageLabels } from "./plan_text.ts";
import { formatBytes } from "./quantities.ts";

/**
 * One block for each stage that is to run, stages of equal memory together; empty if nothing is
 * known of any.
 */
export function memoryText(plan: PlanWithMemory): string {
  const labels = stageLabels(plan);
  const alike = new Map<string, { memory: PlannedMemory; names: string[] }>();
  for (const [key, memory] of plan.memory) {
    const text = JSON.stringify(memory);
    const group = alike.get(text) ?? { memory, names: [] };
    group.names.push(labels.get(key) ?? key);
    alike.set(text, group);
  }
  if (alike.size === 0) return "";
  const blocks = [...alike.values()].map(({ memory, names }) => blockOf(names.join(", "), memory));
  return ["Memory at its peak:", ...blocks].join("\n\n") + "\n";
}

/** "device 9.0 GB, host 940 MB". */
export function formatPeaks({ device, host }: StageMemory): string {
  return [
    ...(device === null ? [] : [`device ${formatBytes(device.peak)}`]),
    `host ${formatBytes(host.peak)}`,
  ].join(", ");
}

function blockOf(name: string, memory: PlannedMemory): string {
  const { device, host, checkpointing } = memory;
  return [
    `${name}: ${formatPeaks(memory)}`,
    ...(checkpointing === null ? [] : [
      `  activation checkpointing ${checkpointing.chosen ? "on" : "off"}` +
      ` (off: ${formatPeaks(checkpointing.off)}; on: ${formatPeaks(checkpointing.on)})`,
    ]),
    ...(device === null ? [] : tableOf("device", device)),
    ...tableOf("host", host),
  ].join("\n");
}

function tableOf(place: string, { items }: MemoryUse): string[] {
  const width = Math.max(...items.map(({ what }) => what.length));
  return items.map(({ what, bytes, when }) =>
    `  ${place.padEnd(6)}  ${what.padEnd(width)}  ${formatBytes(bytes).padStart(7)}  ${when}`
  );
}
