/**
 * Runs one stage in this process, from lock to commit.
 *
 * @module
 */

import process from "node:process";
import type { Device, DeviceInfo } from "../../kernels/device.ts";
import { resolveSource } from "../data/source.ts";
import { UserError } from "../errors.ts";
import {
  type Manifest,
  type PeakMemory,
  pinnedReferences,
  storeMetric,
} from "../graph/manifest.ts";
import { digestSource } from "../graph/source_digest.ts";
import type { Progress, Stage, StageOutcome } from "../graph/stage.ts";
import type { Store, Workspace } from "../graph/store.ts";
import { isDiskFull } from "../graph/store_files.ts";
import { type DeviceScope, lendDevice } from "./device_scope.ts";
import type { StageTask } from "./executor.ts";

/** How often the resident memory is looked at. */
const SAMPLE_MILLISECONDS = 250;

/** What running a stage needs besides the task. */
export interface StageHost {
  /** All stages that tasks may name. */
  readonly stages: readonly Stage[];
  /** Where inputs are and the result goes. */
  readonly store: Store;
  /** Opens the device, or returns the one that is open. */
  device(): Promise<Device>;
  /** Called with what the stage reports. */
  report(progress: Progress): void;
  /** Called with what the stage logs. */
  log(line: string): void;
  /** Called with what the stage remarks. */
  remark(line: string): void;
  /** Aborted when the stage shall save a checkpoint and end. */
  readonly signal: AbortSignal;
}

/**
 * Makes the result of a task and puts it into the store; if another process makes the same result
 * meanwhile, waits for that one instead.
 *
 * @returns The manifest of the complete result.
 * @throws Whatever the stage throws, after everything half-written is removed; `signal.reason` if
 * aborted.
 */
export async function runStage(task: StageTask, host: StageHost): Promise<Manifest> {
  const stage = host.stages.find(({ name }) => name === task.identity.stage);
  if (stage === undefined) {
    throw new UserError(`The stage "${task.identity.stage}" is not registered`);
  }
  try {
    using _ = await host.store.lock(task.key, {
      signal: host.signal,
      waiting: (holder) => host.report({ activity: `waiting for ${holder}, which makes it too` }),
    });
    return await makeResult(stage, task, host);
  } catch (error) {
    throw isDiskFull(error) ? diskFullError(task, host.store, error as Error) : error;
  }
}

async function makeResult(stage: Stage, task: StageTask, host: StageHost): Promise<Manifest> {
  const present = await host.store.inspect(task.key);
  if (present.state === "complete") return present.manifest;
  const workspace = await host.store.begin(task.key);
  try {
    return await fill(workspace, stage, task, host);
  } catch (error) {
    await host.store.abandon(workspace);
    throw error;
  }
}

async function fill(
  workspace: Workspace,
  stage: Stage,
  task: StageTask,
  host: StageHost,
): Promise<Manifest> {
  const { store } = host;
  const { identity } = task;
  const input = identity.upstream[0];
  const memory = sampleMemory();
  const resolved = new Set<string>();
  const pinned = pinnedReferences([...task.upstream, identity].map(({ sources }) => sources));
  let loan: DeviceScope | null = null;
  let info: DeviceInfo | null = null;
  let outcome: StageOutcome;
  let peakMemory: PeakMemory;
  const started = performance.now();
  try {
    host.signal.throwIfAborted();
    outcome = await stage.run({
      parameters: identity.parameters,
      seed: identity.seed ?? 0,
      input: input === undefined ? null : await store.artifact(input),
      upstream: task.upstream,
      artifact: (key) => store.artifact(key),
      resolve: ({ reference }) => {
        resolved.add(reference);
        return resolveSource(pinned.get(reference) ?? reference, task.folder);
      },
      folder: workspace.folder,
      checkpoint: workspace.checkpoint,
      device: async () => {
        loan ??= lendDevice(await host.device());
        info = loan.device.info;
        return loan.device;
      },
      report: host.report,
      log: host.log,
      remark: host.remark,
      signal: host.signal,
    });
  } finally {
    const lent = loan as DeviceScope | null;
    peakMemory = { host: memory.stop(), device: lent?.peak() ?? null };
    lent?.[Symbol.dispose]();
  }
  await checkSources(task, resolved, store);
  const metrics = Object.entries(outcome.metrics).map(([name, metric]) =>
    [name, storeMetric(metric)] as const
  );
  return await store.commit(workspace, {
    format: "equipoise/artifact",
    key: task.key,
    kind: stage.produces,
    node: task.id,
    ...identity,
    metrics: Object.fromEntries(metrics),
    facts: outcome.facts ?? {},
    seconds: Math.round(performance.now() - started) / 1000,
    peakMemory,
    provenance: {
      experiment: task.experiment,
      equipoise: task.equipoise,
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch} ${Deno.osRelease()}`,
      device: deviceProvenance(info),
    },
    created: new Date().toISOString(),
  });
}

/** A source that changed while it was read has given a result that belongs to no key. */
async function checkSources(
  task: StageTask,
  resolved: ReadonlySet<string>,
  store: Store,
): Promise<void> {
  const own = { node: task.id, sources: task.identity.sources };
  for (const { node, sources } of [own, ...task.upstream]) {
    for (const [path, { reference, pinned = reference, sha256 }] of Object.entries(sources)) {
      if (sources !== own.sources && !resolved.has(reference)) continue;
      if (await digestSource(pinned, task.folder, store.index) === sha256) continue;
      throw new UserError(
        `"${reference}" (${node}.${path}) changed while the stage ran: run the same command again`,
      );
    }
  }
}

function deviceProvenance(info: DeviceInfo | null): Manifest["provenance"]["device"] {
  return info === null
    ? null
    : { name: info.name, class: info.class, description: info.description };
}

/**
 * The largest resident memory from now to `stop`. The system knows it exactly if the process has
 * never had as much before; if it has, for an earlier stage, samples have to do.
 */
function sampleMemory(): { stop(): number } {
  const before = largestResident();
  let peak = Deno.memoryUsage().rss;
  const timer = setInterval(() => {
    peak = Math.max(peak, Deno.memoryUsage().rss);
  }, SAMPLE_MILLISECONDS);
  return {
    stop: () => {
      clearInterval(timer);
      const largest = largestResident();
      return largest > before ? largest : Math.max(peak, Deno.memoryUsage().rss);
    },
  };
}

/** Bytes that this process has had resident at once. */
function largestResident(): number {
  return 1024 * process.resourceUsage().maxRSS;
}

function diskFullError(task: StageTask, store: Store, cause: Error): UserError {
  return new UserError(
    `The disk is full: "${task.id}" could not be written to ${store.folder} (${cause.message}); ` +
      `free some space there, or set --out or EQUIPOISE_STORE to another disk`,
    { cause },
  );
}
