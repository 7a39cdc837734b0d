/**
 * The memory of a plan as text: what the largest stage of each node holds, where, and when.
 *
 * @module
 */

import stringWidth from "string-width";
import type { PlannedMemory, PlanWithMemory } from "../memory/plan_memory.ts";
import type { MemoryUse } from "../memory/stage_memory.ts";
import { peaksText, stageLabels } from "./plan_text.ts";
import { formatBytes } from "./quantities.ts";

/** One stage of a plan. */
interface Row {
  /** Name of its node, with the entry of `from`. */
  readonly id: string;
  /** The same with what tells it from its like. */
  readonly label: string;
  readonly memory: PlannedMemory;
}

/** See the module documentation; empty if nothing is known of any stage. */
export function memoryText(plan: PlanWithMemory): string {
  const labels = stageLabels(plan);
  const rows = plan.stages.flatMap(({ key, id }): Row[] => {
    const memory = plan.memory.get(key);
    return memory === undefined ? [] : [{ id, label: labels.get(key) ?? id, memory }];
  });
  if (rows.length === 0) return "";
  const largest = new Map<string, Row>();
  for (const row of rows) {
    const known = largest.get(row.id);
    if (known === undefined || row.memory.host.peak > known.memory.host.peak) {
      largest.set(row.id, row);
    }
  }
  return ["Memory of the largest stage of each node, when it holds most:", ...largest.values()]
    .map((row) =>
      typeof row === "string" ? row : [`${row.label}:`, ...detailsOf(row.memory)].join("\n")
    )
    .join("\n\n") + "\n";
}

function detailsOf({ device, host, checkpointing }: PlannedMemory): string[] {
  const rowsOf = (place: string, { items }: MemoryUse) =>
    items.map(({ what, bytes, when }) => [`  ${place}`, what, formatBytes(bytes), when]);
  const rows = [...(device === null ? [] : rowsOf("device", device)), ...rowsOf("host", host)];
  if (checkpointing === null) return aligned(rows, [2]);
  const [chosen, other] = checkpointing.chosen ? ["on", "off"] as const : ["off", "on"] as const;
  return [
    ...aligned(rows, [2]),
    `  activation checkpointing is ${chosen}; ${other}: ${peaksText(checkpointing[other])}`,
  ];
}

/** Columns of equal width, those in `right` flush right. */
function aligned(rows: readonly (readonly string[])[], right: readonly number[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => stringWidth(row[column] ?? "")))
  );
  return rows.map((row) =>
    row.map((text, column) => {
      const padding = " ".repeat((widths[column] ?? 0) - stringWidth(text));
      return right.includes(column) ? padding + text : text + padding;
    }).join("  ").trimEnd()
  );
}
