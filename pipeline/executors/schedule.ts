/**
 * Runs the stages of a plan in the order that their inputs allow.
 *
 * @module
 */

import type { CodeVersion } from "../graph/manifest.ts";
import type { Plan, PlannedStage } from "../graph/plan.ts";
import type { StageResult } from "../graph/results.ts";
import type { FinishedStage } from "../graph/stage.ts";
import type { Executor, StageEvent, StageTask } from "./executor.ts";

/** How to run a plan. */
export interface ScheduleOptions {
  /** For the provenance of results. */
  readonly equipoise: CodeVersion;
  /** Stop everything at the first failure; otherwise all that does not depend on it goes on. */
  readonly failFast?: boolean;
  /** Aborted: running stages save a checkpoint and end, no other starts. */
  readonly interrupt?: AbortSignal;
  /** Aborted: running stages are killed. */
  readonly kill?: AbortSignal;
  /** Called with every event, in order. */
  readonly onEvent?: (event: StageEvent) => void;
}

/** Runs what is not cached; never throws because of a stage. Returns the end of each, by key. */
export async function runPlan(
  plan: Plan,
  executor: Executor,
  options: ScheduleOptions,
): Promise<Map<string, StageResult>> {
  const { failFast, interrupt, kill, onEvent } = options;
  const results = new Map<string, StageResult>();
  const waiting = new Set<PlannedStage>();
  const running = new Set<string>();
  for (const stage of plan.stages) {
    if (stage.decision.action === "cached") results.set(stage.key, { status: "cached" });
    else waiting.add(stage);
  }
  let stopping = false;
  const stop = () => {
    stopping = true;
    return executor.cancel(false);
  };
  const killAll = () => executor.cancel(true);
  interrupt?.addEventListener("abort", stop, { once: true });
  kill?.addEventListener("abort", killAll, { once: true });
  if (interrupt?.aborted) await stop();

  const { slots } = executor.describe();
  for (;;) {
    for (const stage of waiting) {
      const blocked = blockedBy(stage, plan, results);
      if (blocked !== null) {
        waiting.delete(stage);
        results.set(stage.key, { status: "skipped", message: blocked });
      } else if (!stopping && running.size < slots && isReady(stage, results)) {
        waiting.delete(stage);
        running.add(stage.key);
        await executor.submit(taskOf(stage, plan, options.equipoise));
      }
    }
    if (running.size === 0) break;
    for (const event of await executor.poll()) {
      onEvent?.(event);
      const result = resultOf(event);
      if (result === null) continue;
      running.delete(event.key);
      results.set(event.key, result);
      if (result.status === "failed" && failFast && !stopping) await stop();
    }
  }
  interrupt?.removeEventListener("abort", stop);
  kill?.removeEventListener("abort", killAll);
  for (const { key } of waiting) results.set(key, { status: "cancelled" });
  return results;
}

function isReady(stage: PlannedStage, results: ReadonlyMap<string, StageResult>): boolean {
  return stage.identity.upstream.every((key) => {
    const status = results.get(key)?.status;
    return status === "cached" || status === "done";
  });
}

/** Why a stage can never run, null if it still may. */
function blockedBy(
  stage: PlannedStage,
  plan: Plan,
  results: ReadonlyMap<string, StageResult>,
): string | null {
  for (const key of stage.identity.upstream) {
    const status = results.get(key)?.status;
    if (status === "failed" || status === "skipped") {
      const name = plan.stages.find((other) => other.key === key)?.id ?? key.slice(0, 8);
      return `"${name}", which it reads, ${status === "failed" ? "failed" : "was skipped"}`;
    }
  }
  return null;
}

/** A stage of a plan as executors take it. */
export function taskOf(stage: PlannedStage, plan: Plan, equipoise: CodeVersion): StageTask {
  const { key, id, identity } = stage;
  const { folder, name } = plan.experiment;
  const upstream = chainOf(stage, plan);
  return { key, id, identity, upstream, folder, experiment: name, equipoise };
}

/** What a stage stands on, nearest first. */
function chainOf({ identity }: PlannedStage, plan: Plan): FinishedStage[] {
  const below = plan.stages.find(({ key }) => key === identity.upstream[0]);
  if (below === undefined) return [];
  const { key, id: node, identity: { stage, parameters, sources } } = below;
  return [{ key, node, stage, parameters, sources }, ...chainOf(below, plan)];
}

function resultOf(event: StageEvent): StageResult | null {
  switch (event.kind) {
    case "done":
    case "cancelled":
      return { status: event.kind };
    case "failed":
      return { status: "failed", message: event.message };
    default:
      return null;
  }
}
