/**
 * Two evaluated models on the items that both were asked.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import {
  compareByBootstrap,
  comparePaired,
  type PairedComparison,
  type PairedTest,
} from "../evaluation/statistics/paired.ts";
import { METRICS } from "../evaluation/tasks/metric_names.ts";
import type {
  EvaluationRecord,
  Sample,
  SampleMetric,
  TaskRecord,
} from "../evaluation/tasks/sample.ts";
import { readEvaluation, readSamples } from "../evaluation/tasks/sample_files.ts";
import { sampleHashes } from "./harness_samples.ts";
import type { Table, TableEntry } from "./table.ts";

/** Decides the draws of bootstraps: equal results give equal tables. */
const SEED = 1234;

/** A model whose evaluation is in `folders`, each the result of an `evaluate` stage. */
export interface ComparedModel {
  /** "balance:0/tuned". */
  readonly name: string;
  readonly folders: readonly string[];
}

/** One metric of one task. */
export interface ComparedMetric {
  readonly task: string;
  /** "acc", or with a filter "exact_match, strict-match". */
  readonly metric: string;
  readonly comparison: PairedComparison;
}

/** All that two models can be compared in. */
export interface Comparison {
  readonly first: string;
  readonly second: string;
  readonly metrics: readonly ComparedMetric[];
  /** What could not be compared, in sentences. */
  readonly notes: readonly string[];
}

/** A task and where its items are. */
interface EvaluatedTask {
  readonly record: TaskRecord;
  readonly folder: string;
}

/**
 * Compares two models in every task that both were asked.
 *
 * @throws {UserError} If there is none, or an item is not the same for both.
 */
export function compareModels(first: ComparedModel, second: ComparedModel): Comparison {
  const [left, right] = [tasksOf(first), tasksOf(second)];
  const metrics: ComparedMetric[] = [];
  const notes: string[] = [];
  for (const [name, task] of left) {
    const other = right.get(name);
    if (other === undefined) {
      notes.push(`${second.name} was not asked ${name}.`);
      continue;
    }
    metrics.push(...compareTask(task, other, [first.name, second.name], notes));
  }
  for (const name of right.keys()) {
    if (!left.has(name)) notes.push(`${first.name} was not asked ${name}.`);
  }
  if (metrics.length > 0) return { first: first.name, second: second.name, metrics, notes };
  throw new UserError(
    `There is no task whose items both ${first.name} and ${second.name} were asked; evaluate them ` +
      `with the same tasks (perplexity alone keeps no items)`,
  );
}

/** A comparison as a table. */
export function comparisonTable({ first, second, metrics, notes }: Comparison): Table {
  const column = (title: string, metric: string) => ({ title, values: {}, metric });
  const tests = new Set(metrics.map(({ comparison }) => comparison.test));
  return {
    title: `A: ${first}, B: ${second}`,
    rowTitles: ["task", "metric"],
    columns: [
      column("n", "n"),
      column("A", "first"),
      column("B", "second"),
      column("B - A", "delta"),
      column("b", "gained"),
      column("c", "lost"),
      column("p", "p"),
    ],
    rows: metrics.map(({ task, metric, comparison }) => ({
      labels: [task, metric],
      entries: [
        entry(comparison.items),
        entry(comparison.first),
        entry(comparison.second),
        entry(comparison.difference, comparison.standardError),
        entry(comparison.gained),
        entry(comparison.lost),
        entry(comparison.p),
      ],
    })),
    notes: [
      "B - A ± its standard error over the same items.",
      ...(tests.has("mcnemar") ? ["b: only B is right; c: only A is right."] : []),
      `p: ${[...tests].map((test) => TEST_NAMES[test]).join("; ")}.`,
      ...notes,
    ],
  };
}

const TEST_NAMES: Readonly<Record<PairedTest, string>> = {
  mcnemar: "McNemar's exact test where items are right or wrong",
  t: "paired t-test of means",
  bootstrap: "paired bootstrap of perplexities",
};

function entry(value: number | null, standardError: number | null = null): TableEntry | null {
  if (value === null) return null;
  const mean = { mean: value, deviation: null, count: 1 };
  return standardError === null ? mean : { ...mean, standardError };
}

function tasksOf({ name, folders }: ComparedModel): Map<string, EvaluatedTask> {
  const tasks = new Map<string, EvaluatedTask>();
  for (const folder of folders) {
    const record: EvaluationRecord | null = readEvaluation(folder);
    for (const task of record?.tasks ?? []) {
      if (tasks.has(task.task)) {
        throw new UserError(
          `${name} was asked the task ${task.task} twice, in two nodes; give one of them another ` +
            `\`name:\``,
        );
      }
      tasks.set(task.task, { record: task, folder });
    }
  }
  return tasks;
}

function compareTask(
  first: EvaluatedTask,
  second: EvaluatedTask,
  names: readonly [string, string],
  notes: string[],
): ComparedMetric[] {
  const { task } = first.record;
  const [left, right] = [first, second].map(({ folder }) => byItem(readSamples(folder, task)));
  if (left === undefined || right === undefined) return [];
  const compared: ComparedMetric[] = [];
  const unpaired = new Set<string>();
  for (const key of Object.keys(first.record.metrics)) {
    const [metric = "", filter = ""] = key.split(",");
    const pairs: [SampleMetric, SampleMetric][] = [];
    for (const [id, sample] of left.get(filter) ?? []) {
      const other = right.get(filter)?.get(id);
      const [a, b] = [sample.metrics[metric], other?.metrics[metric]];
      if (other === undefined || a === undefined || b === undefined) {
        unpaired.add(`${id}`);
        continue;
      }
      checkSame(sample, other, task, names);
      pairs.push([a, b]);
    }
    for (const id of right.get(filter)?.keys() ?? []) {
      if (left.get(filter)?.has(id) !== true) unpaired.add(`${id}`);
    }
    const comparison = comparePairs(pairs, aggregationOf(first.record, metric));
    const label = filter === "none" ? metric : `${metric}, ${filter}`;
    if (comparison !== null) compared.push({ task, metric: label, comparison });
    else notes.push(`${task}: ${label} is no mean of items, so that it cannot be paired.`);
  }
  if (unpaired.size > 0) {
    notes.push(`${task}: ${unpaired.size} items were asked only of one model, and do not count.`);
  }
  return compared;
}

/** Samples by filter and item. */
function byItem(samples: readonly Sample[]): Map<string, Map<number, Sample>> {
  const filters = new Map<string, Map<number, Sample>>();
  for (const sample of samples) {
    const items = filters.get(sample.filter) ?? new Map<number, Sample>();
    items.set(sample.doc_id, sample);
    filters.set(sample.filter, items);
  }
  return filters;
}

function checkSame(
  first: Sample,
  second: Sample,
  task: string,
  [left, right]: readonly [string, string],
): void {
  if (sampleHashes(first).doc_hash === sampleHashes(second).doc_hash) return;
  throw new UserError(
    `Item ${first.doc_id} of ${task} is not the same for ${left} and ${right}; evaluate both with ` +
      `the same data`,
  );
}

/** Null where there is nothing to pair. */
function comparePairs(
  pairs: readonly (readonly [SampleMetric, SampleMetric])[],
  aggregation: string,
): PairedComparison | null {
  if (pairs.length === 0) return null;
  const side = (index: 0 | 1) => pairs.map((pair) => pair[index]);
  if (aggregation === "mean") return comparePaired(side(0).map(Number), side(1).map(Number));
  const statistic = STATISTICS.get(aggregation);
  if (statistic === undefined) return null;
  const weighted = (values: readonly SampleMetric[]) =>
    values.map((value) => typeof value === "number" ? [value, 1] as const : value);
  return compareByBootstrap(weighted(side(0)), weighted(side(1)), statistic, SEED);
}

/** Of a sum of log-likelihoods and a sum of weights, by the harness's name of the aggregation. */
const STATISTICS: ReadonlyMap<string, (likelihood: number, weight: number) => number> = new Map([
  ["perplexity", (likelihood, weight) => Math.exp(-likelihood / weight)],
  ["weighted_perplexity", (likelihood, weight) => Math.exp(-likelihood / weight)],
  ["bits_per_byte", (likelihood, weight) => -likelihood / weight / Math.LN2],
]);

function aggregationOf({ config }: TaskRecord, metric: string): string {
  const list = Array.isArray(config.metric_list) ? config.metric_list : [];
  const own = list.find((entry) => entry?.metric === metric)?.aggregation;
  return typeof own === "string" ? own : METRICS.get(metric)?.aggregation ?? "mean";
}
