/**
 * From answered items to the numbers of tasks and groups.
 *
 * @module
 */

import {
  bootstrapStandardError,
  macroStandardError,
  mean,
  meanStandardError,
  pooledStandardError,
} from "../statistics/standard_error.ts";
import { buildFilters } from "./filters.ts";
import { argumentsOf, type Item, responsesOf } from "./item.ts";
import { itemMetrics, metricsOf } from "./item_metrics.ts";
import { type Aggregation, AGGREGATIONS, METRICS } from "./metric_names.ts";
import type { PlannedTask } from "./plan_task.ts";
import type { GroupRecord, Sample, SampleMetric, TaskMetric, TaskRecord } from "./sample.ts";
import { type Group, leaves, versionOf } from "./task_node.ts";

/** Draws of the harness for errors that have no formula. */
export const BOOTSTRAP_ITERATIONS = 100_000;

/** Samples of items, filter by filter. */
export function samplesOf(planned: PlannedTask, items: readonly Item[]): Sample[] {
  return buildFilters(planned.task).flatMap((filter) =>
    items.map((item): Sample => {
      const responses = responsesOf(item);
      const filtered = responses.map((repeats) => filter.apply(repeats));
      return {
        doc_id: item.id,
        doc: item.document.fields,
        target: item.prompt.target,
        arguments: argumentsOf(item),
        resps: responses,
        filtered_resps: filtered,
        filter: filter.name,
        metrics: itemMetrics(item, filtered),
      };
    })
  );
}

/** What a task measured, by metric and filter ("acc,none"). */
export function summarizeTask(
  planned: PlannedTask,
  samples: readonly Sample[],
  bootstrapIterations: number,
): TaskRecord {
  const { task, shots, original } = planned;
  const { config } = task;
  const columns = new Map<string, SampleMetric[]>();
  for (const { metrics, filter } of samples) {
    for (const [name, value] of Object.entries(metrics)) {
      const key = `${name},${filter}`;
      const column = columns.get(key);
      if (column === undefined) columns.set(key, [value]);
      else column.push(value);
    }
  }
  const settings = new Map(metricsOf(task).map((metric) => [metric.metric, metric]));
  const metrics: Record<string, TaskMetric> = {};
  const higherIsBetter: Record<string, boolean> = {};
  for (const [key, values] of columns) {
    const [name = ""] = key.split(",");
    const own = settings.get(name);
    const defaults = METRICS.get(name);
    const aggregation = AGGREGATIONS.get(own?.aggregation ?? defaults?.aggregation ?? "mean");
    if (aggregation === undefined) continue;
    metrics[key] = {
      value: aggregation.of(values),
      standardError: errorOf(aggregation, values, bootstrapIterations),
    };
    higherIsBetter[name] = own?.higher_is_better ?? defaults?.higherIsBetter ?? true;
  }
  return {
    task: task.name,
    ...(config.task_alias ? { alias: config.task_alias } : {}),
    version: versionOf(config.metadata),
    config: { ...config, num_fewshot: shots },
    num_fewshot: shots,
    higher_is_better: higherIsBetter,
    original,
    effective: Math.max(0, ...[...columns.values()].map(({ length }) => length)),
    metrics,
  };
}

function errorOf(
  { of, error }: Aggregation,
  values: readonly SampleMetric[],
  iterations: number,
): number | null {
  if (error === null) return null;
  return error === "mean"
    ? meanStandardError(values.map(Number))
    : bootstrapStandardError(of, values, iterations);
}

/** Name of the unweighted mean of a metric over the tasks of a group. */
export function macroName(metric: string): string {
  return `${metric}_macro`;
}

/**
 * Means over the tasks of a group: weighted by items (micro) or not, as the group says, and the
 * unweighted mean (macro) besides, whose standard error takes the tasks for given.
 */
export function summarizeGroup(
  group: Group,
  tasks: ReadonlyMap<string, TaskRecord>,
): GroupRecord {
  const members = leaves(group).flatMap(({ name }) => tasks.get(name) ?? []);
  const metrics: Record<string, TaskMetric> = {};
  for (const { metric, weight_by_size: isWeighted, filter_list: filters } of group.aggregates) {
    const wanted = filters === null || filters === undefined ? null : [filters].flat();
    const keys = new Set(members.flatMap((record) => Object.keys(record.metrics)));
    for (const key of [...keys].sort()) {
      const [name, filter = ""] = key.split(",");
      if (name !== metric || (wanted !== null && !wanted.includes(filter))) continue;
      const parts = members.flatMap((record) => {
        const found = record.metrics[key];
        return found === undefined ? [] : [{ ...found, size: record.effective }];
      });
      const total = parts.reduce((sum, { size }) => sum + size, 0);
      const micro = parts.reduce((sum, { value, size }) => sum + value * size, 0) / total;
      const macro = mean(parts.map(({ value }) => value));
      const known = parts.flatMap(({ standardError, size }) =>
        standardError === null ? [] : [{ standardError, size }]
      );
      const isKnown = known.length === parts.length;
      metrics[key] = {
        value: isWeighted ? micro : macro,
        standardError: isKnown ? pooledStandardError(known) : null,
      };
      metrics[`${macroName(metric)},${filter}`] = {
        value: macro,
        standardError: isKnown
          ? macroStandardError(known.map(({ standardError }) => standardError))
          : null,
      };
    }
  }
  return {
    group: group.name,
    ...(group.alias === null ? {} : { alias: group.alias }),
    version: group.version,
    subtasks: group.children.map(({ name }) => name),
    effective: members.reduce((sum, { effective }) => sum + effective, 0),
    metrics,
  };
}
