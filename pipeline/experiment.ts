/**
 * Runs experiments: from a file to results. What the commands do, for scripts.
 *
 * @module
 */

import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { fromCaller } from "./caller.ts";
import { UserError } from "./errors.ts";
import { threadsPerJob, wideVectorVariables } from "./environment/cpu_settings.ts";
import { denoCommand } from "./executors/deno_command.ts";
import { chooseDevice, deviceInfo, type DeviceName } from "./executors/devices.ts";
import type { StageEvent } from "./executors/executor.ts";
import { LocalExecutor } from "./executors/local.ts";
import { memoryModelOf } from "./executors/memory_models.ts";
import { runPlan } from "./executors/schedule.ts";
import { codeVersion } from "./graph/code_version.ts";
import { ConfigurationError, type Experiment } from "./graph/experiment.ts";
import { loadExperiment } from "./graph/load.ts";
import { makePlan, type Plan, type PlannedDevice } from "./graph/plan.ts";
import { collectResults, type Results } from "./graph/results.ts";
import type { Stage } from "./graph/stage.ts";
import { Store } from "./graph/store.ts";
import { didYouMean } from "./graph/suggestions.ts";
import type { DownloadListener } from "./hub/resolve.ts";
import { memoryLimits } from "./memory/limits.ts";
import { planMemory, type PlanWithMemory } from "./memory/plan_memory.ts";
import { writeHarnessFolder } from "./reports/harness_folder.ts";
import { RunFolder } from "./reports/run_folder.ts";
import { makeTable } from "./reports/table.ts";
import { writeTensorboard } from "./reports/tensorboard.ts";
import { trainingHistories } from "./reports/training_history.ts";

/** Shipped experiments: searched for files that the current folder does not have. */
const EXPERIMENTS = fileURLToPath(new URL("../experiments/", import.meta.url));

const DEFAULT_STAGES = new URL("./stages/registry.ts", import.meta.url).href;

/** What decides a plan besides the file. */
export interface PlanOptions {
  /** Changes of the file, each `path=value`, as with `--set`. */
  readonly set?: readonly string[];
  /**
   * What computes.
   *
   * @default "auto"
   */
  readonly device?: DeviceName;
  /**
   * Stages that run at the same time, each in a process of its own.
   *
   * @default 1
   */
  readonly jobs?: number;
  /**
   * Threads of each stage on the CPU device. Results do not depend on it.
   *
   * @default `EQUIPOISE_THREADS`, else the processors divided by `jobs`
   */
  readonly threads?: number;
  /**
   * Folder of results; the store is in it.
   *
   * @default "runs"
   */
  readonly out?: string;
  /**
   * URL of a module that exports `stages`. Worker processes import it too.
   *
   * @default the stages of Equipoise
   */
  readonly stages?: string;
  /** Who is told of downloads from the Hugging Face Hub, which planning does, and what ends them. */
  readonly hub?: DownloadListener;
}

/** How to run an experiment. */
export interface RunOptions extends PlanOptions {
  /** Stop at the first failure. Otherwise everything runs that does not depend on it. */
  readonly failFast?: boolean;
  /**
   * Aborted: running stages save a checkpoint and end, downloads end (and the call is rejected with
   * the signal's reason); the same call resumes them.
   */
  readonly interrupt?: AbortSignal;
  /** Aborted: running stages are killed. */
  readonly kill?: AbortSignal;
  /** The command line, for the provenance. */
  readonly command?: string;
  /** Called before anything runs. */
  readonly onPlan?: (plan: Plan, folder: string) => void;
  /** Called whenever something happens to a stage. */
  readonly onEvent?: (event: StageEvent) => void;
}

/**
 * Runs an experiment and returns what `results.json` holds. What is in the store already is not run
 * again; a stage that fails takes only those with it that depend on it, and its cells say so.
 *
 * ```ts ignore
 * import { runExperiment } from "./experiment.ts";
 *
 * const { cells } = await runExperiment("quickstart.yaml");
 * for (const { values, metrics } of cells) console.log(values, metrics);
 * ```
 *
 * @param experiment Path of a YAML file, in the current folder or in `experiments/`; or an experiment
 * that `experimentFromObject` made, to which `set` does not apply.
 * @throws {ConfigurationError} If the file is wrong, with all its mistakes; nothing has run then.
 * @throws {UserError | DeviceError} If there is no device, or the store cannot be used.
 */
export async function runExperiment(
  experiment: string | Experiment,
  options: RunOptions = {},
): Promise<Results> {
  const started = new Date().toISOString();
  const stages = options.stages ?? DEFAULT_STAGES;
  const out = resolve(options.out ?? "runs");
  const checked = await checkedExperiment(experiment, options);
  using store = await Store.open(storeFolder(out));
  await store.sweep();
  const plan = await plannedIn(store, checked, {
    ...options,
    hub: { ...(options.interrupt ? { signal: options.interrupt } : {}), ...options.hub },
  });
  if (plan.shortages.length > 0) throw new ConfigurationError(plan.shortages);
  const folder = await RunFolder.create(join(out, plan.experiment.name), plan);
  options.onPlan?.(plan, folder.path);
  const equipoise = await codeVersion();
  const { device } = plan;
  const executor = new LocalExecutor({
    jobs: options.jobs ?? 1,
    threads: threadsOf(options),
    store: store.folder,
    // What the plan has decided on, so that no worker decides again.
    device: device === null ? options.device ?? "auto" : device.name as DeviceName,
    stages,
    variables: await workerVariables(plan),
  });
  try {
    const ends = await runPlan(plan, executor, {
      equipoise,
      failFast: options.failFast ?? false,
      ...(options.interrupt ? { interrupt: options.interrupt } : {}),
      ...(options.kill ? { kill: options.kill } : {}),
      onEvent: (event) => {
        folder.log(event);
        options.onEvent?.(event);
      },
    });
    const results = await collectResults(plan, ends, store, {
      equipoise,
      deno: Deno.version.deno,
      os: `${Deno.build.os} ${Deno.build.arch} ${Deno.osRelease()}`,
      device: device === null
        ? null
        : { name: device.name, class: device.class, description: device.description },
      command: options.command ?? null,
      started,
      finished: new Date().toISOString(),
    });
    await folder.writeResults(results);
    await writeHarnessFolder(folder.path, results, store);
    await writeTensorboard(folder.path, await trainingHistories(results, store));
    return results;
  } finally {
    await executor[Symbol.asyncDispose]();
  }
}

/**
 * Says what {@linkcode runExperiment} would do, and why, and how much memory it will take; runs
 * nothing, and lists what cannot fit where `runExperiment` refuses.
 *
 * @throws As {@linkcode runExperiment}.
 */
export async function planExperiment(
  experiment: string | Experiment,
  options: PlanOptions = {},
): Promise<PlanWithMemory> {
  const checked = await checkedExperiment(experiment, options);
  using store = await Store.open(storeFolder(resolve(options.out ?? "runs")));
  return await plannedIn(store, checked, options);
}

/**
 * Reads and checks an experiment file as the commands do.
 *
 * @throws {ConfigurationError} If there is no such file, or it is wrong.
 */
export async function readExperiment(
  file: string,
  options: Pick<PlanOptions, "set" | "stages"> = {},
): Promise<Experiment> {
  return await loadExperiment(await findExperiment(file), {
    stages: await importStages(options.stages ?? DEFAULT_STAGES),
    set: options.set ?? [],
    setFolder: fromCaller("."),
  });
}

/** Before the store is opened: a wrong file leaves no folder behind. */
async function checkedExperiment(
  experiment: string | Experiment,
  options: PlanOptions,
): Promise<Experiment> {
  const loaded = typeof experiment === "string"
    ? await readExperiment(experiment, options)
    : experiment;
  checkTable(loaded);
  return loaded;
}

async function plannedIn(
  store: Store,
  experiment: Experiment,
  options: PlanOptions,
): Promise<PlanWithMemory> {
  const stages = await importStages(options.stages ?? DEFAULT_STAGES);
  const plan = await makePlan(experiment, {
    stages,
    store,
    device: () => plannedDevice(options),
    ...(options.hub ? { hub: options.hub } : {}),
  });
  const { device } = plan;
  const model = device !== null && computes(plan)
    ? await memoryModelOf(device.name as Exclude<DeviceName, "auto">)
    : null;
  return await planMemory(plan, { stages, model, limits: memoryLimits(model) });
}

async function plannedDevice(options: PlanOptions): Promise<PlannedDevice> {
  const { name, reason } = await chooseDevice(options.device ?? "auto");
  const { class: deviceClass, description } = await deviceInfo(name, {
    threads: threadsOf(options),
  });
  return { name, class: deviceClass, description, reason };
}

/** How the worker processes of a plan are started. */
async function workerVariables(plan: Plan): Promise<Record<string, string>> {
  const wide = plan.device?.name === "cpu" && computes(plan);
  return wide ? await wideVectorVariables({ command: denoCommand() }) : {};
}

/** Whether a stage that is to run uses the device. */
function computes({ stages }: Plan): boolean {
  return stages.some(({ decision, identity }) =>
    decision.action !== "cached" && identity.device !== null
  );
}

function threadsOf({ jobs = 1, threads }: PlanOptions): number {
  return threadsPerJob(jobs, threads);
}

/** Before hours of work: whether the results will fit into the table. */
function checkTable({ table, cells, axes, position }: Experiment): void {
  if (table === null) return;
  const empty = cells.map((cell) => ({
    ...cell,
    status: "cancelled" as const,
    error: null,
    metrics: {},
    nodes: Object.fromEntries(cell.nodes.map((node) => [node.name, node])),
  }));
  try {
    makeTable(table, empty, axes);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new ConfigurationError([{ position: position("table"), message: error.message }]);
  }
}

/** Where the store of a folder of results is. */
export function storeFolder(out: string): string {
  const elsewhere = Deno.env.get("EQUIPOISE_STORE");
  return elsewhere ? resolve(elsewhere) : join(out, ".store");
}

async function importStages(url: string): Promise<readonly Stage[]> {
  return (await import(url) as { stages: readonly Stage[] }).stages;
}

async function findExperiment(file: string): Promise<string> {
  for (const candidate of [fromCaller(file), resolve(file), resolve(EXPERIMENTS, file)]) {
    const info = await Deno.stat(candidate).catch(() => null);
    if (!info?.isFile) continue;
    const shown = relative(".", candidate);
    return shown.startsWith("..") ? candidate : shown;
  }
  const shipped: string[] = [];
  for await (const { name } of Deno.readDir(EXPERIMENTS)) {
    if (name.endsWith(".yaml")) shipped.push(name);
  }
  throw new ConfigurationError([{
    position: null,
    message: `There is no file "${file}" here or in experiments/${didYouMean(file, shipped)}`,
  }]);
}
