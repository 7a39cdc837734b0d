/**
 * A plan as text: every stage, whether it runs, and why.
 *
 * @module
 */

import stringWidth from "string-width";
import type { Decision, Plan, PlannedStage } from "../graph/plan.ts";
import type { PlannedMemory, PlanWithMemory } from "../memory/plan_memory.ts";
import type { StageMemory } from "../memory/stage_memory.ts";
import { formatBytes, formatCount, formatMoment, formatRanges } from "./quantities.ts";
import { shortNames } from "./table.ts";

/** What is said of a stage in `plan --json` and `plan.json`. */
export interface PlanRecord {
  /** Content address of the result. */
  readonly key: string;
  /** "quality.tuned". */
  readonly node: string;
  /** "evaluate". */
  readonly stage: string;
  /** Indices of the cells that share it. */
  readonly cells: readonly number[];
  /** Keys of what it reads. */
  readonly upstream: readonly string[];
  /** Whether it runs, and why. */
  readonly decision: Decision;
  /** What it will hold at its peak; absent if it does not run or nothing is known. */
  readonly memory?: PlannedMemory;
}

/** The plan for programs. */
export function planRecords(plan: Plan & Partial<PlanWithMemory>): PlanRecord[] {
  return plan.stages.map(({ key, id, identity, cells, decision }) => ({
    key,
    node: id,
    stage: identity.stage,
    cells,
    upstream: identity.upstream,
    decision,
    ...memoryRecord(plan.memory?.get(key)),
  }));
}

function memoryRecord(memory: PlannedMemory | undefined): Pick<PlanRecord, "memory"> {
  return memory === undefined ? {} : { memory };
}

/** The plan for people: a summary, one line for each stage, and counts by kind. */
export function planText(plan: Plan & Partial<PlanWithMemory>): string {
  const labels = stageLabels(plan);
  const rows = plan.stages.map((stage) => [
    labels.get(stage.key) ?? stage.id,
    stage.identity.stage,
    decisionText(stage.decision),
    peaksText(plan.memory?.get(stage.key)),
    plan.cells.length === 1 ? "" : sharing(stage),
  ]);
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...rows.map((row) => stringWidth(row[column] ?? "")))
  );
  const lines = rows.map((row) =>
    row.map((text, column) =>
      text + " ".repeat(Math.max(0, (widths[column] ?? 0) - stringWidth(text)))
    )
      .filter((_, column) => widths[column] !== 0)
      .join("  ").trimEnd()
  );
  return [
    `${plan.experiment.name}: ${formatCount(plan.cells.length, "cell")}, ${planSummary(plan)}`,
    ...deviceLines(plan),
    "",
    ...lines,
    "",
    ...countsByKind(plan),
  ].join("\n") + "\n";
}

/** "device 9.0 GB, host 940 MB": at their peaks. */
export function peaksText(memory: StageMemory | undefined): string {
  if (memory === undefined) return "";
  const { device, host } = memory;
  return (device === null ? "" : `device ${formatBytes(device.peak)}, `) +
    `host ${formatBytes(host.peak)}`;
}

/** "14 stages: 3 cached, 1 resumes, 10 run". */
export function planSummary(plan: Plan): string {
  return `${formatCount(plan.stages.length, "stage")}: ${decisionCounts(plan.stages)}`;
}

/** What computes and why, as one line; no line if no key depends on it. */
export function deviceLines({ device }: Plan): string[] {
  if (device === null) return [];
  return [`device: ${device.name} (${device.description}), because ${device.reason}`];
}

/** "cached: 2026-11-21 14:03, 3.1 MB", "runs: not in the store". */
function decisionText(decision: Decision): string {
  if (decision.action !== "cached") return `${decision.action}: ${decision.reason}`;
  return `cached: ${formatMoment(decision.created)}, ${formatBytes(decision.bytes)}`;
}

/**
 * Names of stages for people, by key: the id, and the values of those axes that tell it from stages
 * of the same id ("tuned (bits 4, rank 16)").
 */
export function stageLabels(plan: Plan): Map<string, string> {
  const { axes } = plan.experiment;
  const names = shortNames(axes);
  const values = new Map(plan.cells.map(({ cell }) => [cell.index, cell.values]));
  const labels = new Map<string, string>();
  for (const stage of plan.stages) {
    const alike = plan.stages.filter(({ id }) => id === stage.id);
    const told = axes.flatMap((axis, index) => {
      const valuesOf = ({ cells }: PlannedStage) =>
        new Set(cells.map((cell) => JSON.stringify(values.get(cell)?.[axis])));
      const own = valuesOf(stage);
      const distinguishes = own.size === 1 && alike.some((other) => valuesOf(other).size === 1) &&
        new Set(alike.flatMap((other) => [...valuesOf(other)])).size > 1;
      const [value] = own;
      // Cells that `include` adds may leave an axis as the graph has it.
      if (!distinguishes || value === undefined) return [];
      return `${names[index]} ${value.replaceAll('"', "")}`;
    });
    labels.set(stage.key, told.length === 0 ? stage.id : `${stage.id} (${told.join(", ")})`);
  }
  return labels;
}

function sharing({ cells }: PlannedStage): string {
  return cells.length === 1 ? `cell ${cells[0]}` : `shared by cells ${formatRanges(cells)}`;
}

function countsByKind(plan: Plan): string[] {
  const kinds = new Map<string, PlannedStage[]>();
  for (const stage of plan.stages) {
    kinds.set(stage.identity.stage, [...kinds.get(stage.identity.stage) ?? [], stage]);
  }
  const width = Math.max(...[...kinds.keys()].map((kind) => kind.length));
  return [...kinds].map(([kind, stages]) =>
    `${kind.padEnd(width)}  ${stages.length}: ${decisionCounts(stages)}`
  );
}

function decisionCounts(stages: readonly PlannedStage[]): string {
  const verbs = { cached: "cached", resumes: "to resume", runs: "to run" } as const;
  return (["cached", "resumes", "runs"] as const)
    .map((action) =>
      [stages.filter((stage) => stage.decision.action === action).length, action] as const
    )
    .filter(([count]) => count > 0)
    .map(([count, action]) => `${count} ${verbs[action]}`)
    .join(", ");
}
