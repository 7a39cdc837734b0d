/**
 * Results in the schema of lm-evaluation-harness (`lm_eval/result_schema.py`), for the tools that read
 * its `results_TIME.json`.
 *
 * What only the harness could say (`lm_eval_version`, `transformers_version`) is left out, as its
 * schema allows; `equipoise_version` says whose results they are.
 *
 * @module
 */

import type { GroupRecord, TaskMetric, TaskRecord } from "../evaluation/tasks/sample.ts";
import { PythonFloat, pythonJson } from "./python_json.ts";

/** A model under evaluation, and how that went. */
export interface HarnessRun {
  /** "balance:0/tuned". */
  readonly model: string;
  readonly tasks: readonly TaskRecord[];
  readonly groups: readonly GroupRecord[];
  /** By task; see `taskHash`. */
  readonly taskHashes: Readonly<Record<string, string>>;
  /** When the evaluation began. */
  readonly started: Date;
  readonly seconds: number;
  readonly batchSize: number | null;
  /** "cpu"; null if none is known. */
  readonly device: string | null;
  /** Version of this program and its commit, null without git. */
  readonly version: string;
  readonly commit: string | null;
  /** Operating system and versions, for people. */
  readonly environment: string;
}

/** Draws of the bootstrap, and seeds, that the harness has as defaults and tasks here keep to. */
const DEFAULTS = {
  bootstrap_iters: 100_000,
  random_seed: 0,
  numpy_seed: 1234,
  torch_seed: 1234,
  fewshot_seed: 1234,
} as const;

/** The text of `results_TIME.json`. */
export function harnessResults(run: HarnessRun): string {
  const { tasks, groups, model, started, seconds } = run;
  const aggregated = groups.filter(({ metrics }) => Object.keys(metrics).length > 0);
  return pythonJson({
    results: Object.fromEntries([
      ...tasks.map((task) => [task.task, taskResults(task)]),
      ...groups.map((group) => [group.group, groupResults(group)]),
    ]),
    ...(aggregated.length === 0 ? {} : {
      groups: Object.fromEntries(aggregated.map((group) => [group.group, groupResults(group)])),
    }),
    group_subtasks: Object.fromEntries(groups.map(({ group, subtasks }) => [group, subtasks])),
    configs: sorted(tasks.map(({ task, config }) => [task, configOf(config)])),
    versions: sorted([
      ...tasks.map(({ task, version }): [string, unknown] => [task, versionOf(version)]),
      ...groups.map(({ group, version }): [string, unknown] => [group, versionOf(version)]),
    ]),
    "n-shot": sorted([...fewshotCounts(tasks, groups)]),
    higher_is_better: sorted([...directions(tasks, groups)]),
    "n-samples": Object.fromEntries(
      tasks.map(({ task, original, effective }) => [task, { original, effective }]),
    ),
    config: {
      model: "equipoise",
      model_args: { pretrained: model },
      batch_size: run.batchSize,
      batch_sizes: [],
      device: run.device,
      use_cache: null,
      limit: limitOf(tasks),
      bootstrap_iters: DEFAULTS.bootstrap_iters,
      gen_kwargs: null,
      random_seed: DEFAULTS.random_seed,
      numpy_seed: DEFAULTS.numpy_seed,
      torch_seed: DEFAULTS.torch_seed,
      fewshot_seed: DEFAULTS.fewshot_seed,
    },
    git_hash: run.commit,
    date: new PythonFloat(started.getTime() / 1000),
    pretty_env_info: run.environment,
    equipoise_version: run.version,
    task_hashes: run.taskHashes,
    model_source: "equipoise",
    model_name: model,
    model_name_sanitized: sanitizeModelName(model),
    system_instruction: null,
    system_instruction_sha: null,
    fewshot_as_multiturn: false,
    chat_template: null,
    chat_template_sha: null,
    total_evaluation_time_seconds: new PythonFloat(seconds).toString(),
  }, 2);
}

/** A model's name as that of a folder (`sanitize_model_name`). */
export function sanitizeModelName(name: string): string {
  return name.replaceAll(/["<>:/|\\?*[\]]+/g, "__");
}

/** The time in names of files: `datetime.isoformat()` with "-" for ":", in UTC. */
export function fileTime(time: Date): string {
  return `${time.toISOString().slice(0, -1)}000`.replaceAll(":", "-");
}

function taskResults({ task, alias, effective, metrics }: TaskRecord): Record<string, unknown> {
  return { name: task, alias: alias ?? task, sample_len: effective, ...metricEntries(metrics) };
}

function groupResults({ group, alias, effective, metrics }: GroupRecord): Record<string, unknown> {
  const names = Object.keys(metrics);
  return {
    alias: alias ?? group,
    name: group,
    ...(names.length === 0 ? {} : {
      sample_len: effective,
      ...metricEntries(metrics),
      sample_count: Object.fromEntries(names.map((name) => [name, effective])),
    }),
  };
}

/** "acc,none" and, behind it, "acc_stderr,none". */
function metricEntries(metrics: Readonly<Record<string, TaskMetric>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(metrics).flatMap(([key, { value, standardError }]) => [
      [key, new PythonFloat(value)],
      [
        key.replace(/,|$/, "_stderr$&"),
        standardError === null ? "N/A" : new PythonFloat(standardError),
      ],
    ]),
  );
}

/** Of groups only where all members agree. */
function fewshotCounts(
  tasks: readonly TaskRecord[],
  groups: readonly GroupRecord[],
): Map<string, number> {
  const counts = new Map(tasks.map(({ task, num_fewshot: count }) => [task, count]));
  for (const { group, subtasks } of bottomUp(groups)) {
    const members = new Set(subtasks.flatMap((name) => counts.get(name) ?? []));
    const [only] = members;
    if (members.size === 1 && only !== undefined) counts.set(group, only);
  }
  return counts;
}

/** Of groups null where members disagree. */
function directions(
  tasks: readonly TaskRecord[],
  groups: readonly GroupRecord[],
): Map<string, Readonly<Record<string, boolean | null>>> {
  const all = new Map<string, Readonly<Record<string, boolean | null>>>(
    tasks.map(({ task, higher_is_better: direction }) => [task, direction]),
  );
  for (const { group, subtasks } of bottomUp(groups)) {
    const merged: Record<string, boolean | null> = {};
    for (const name of subtasks) {
      for (const [metric, direction] of Object.entries(all.get(name) ?? {})) {
        const isNew = !Object.hasOwn(merged, metric);
        merged[metric] = isNew || merged[metric] === direction ? direction : null;
      }
    }
    if (Object.keys(merged).length > 0) all.set(group, merged);
  }
  return all;
}

/** Groups behind the groups that are in them. */
function bottomUp(groups: readonly GroupRecord[]): GroupRecord[] {
  const byName = new Map(groups.map((group) => [group.group, group]));
  const order = new Set<GroupRecord>();
  const visit = (group: GroupRecord) => {
    for (const name of group.subtasks) {
      const inner = byName.get(name);
      if (inner !== undefined && !order.has(inner)) visit(inner);
    }
    order.add(group);
  };
  groups.forEach(visit);
  return [...order];
}

/** The number of items per task where it was limited. */
function limitOf(tasks: readonly TaskRecord[]): number | null {
  const limited = tasks.filter(({ original, effective }) => effective < original);
  return limited.length === 0 ? null : Math.max(...limited.map(({ effective }) => effective));
}

/** Without what is not set, and with functions by their names: where they stand is this machine's. */
function configOf(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config)
      .filter(([, value]) => value !== null && value !== undefined)
      .map(([key, value]) => [key, isFunction(value) ? value.function : value]),
  );
}

function isFunction(
  value: unknown,
): value is { readonly function: string; readonly place: string } {
  return typeof value === "object" && value !== null && "function" in value && "place" in value;
}

function versionOf(version: number | string | null): unknown {
  return typeof version === "number" ? new PythonFloat(version) : version;
}

function sorted(entries: [string, unknown][]): Record<string, unknown> {
  return Object.fromEntries(entries.sort(([left], [right]) => left < right ? -1 : 1));
}
