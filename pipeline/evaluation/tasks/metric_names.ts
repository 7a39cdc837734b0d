/**
 * Metrics and aggregations by the names that tasks have for them.
 *
 * @module
 */

import { mean, median } from "../statistics/standard_error.ts";
import type { SampleMetric } from "./sample.ts";
import type { TaskConfig } from "./task_schema.ts";

/** What a metric is where a task does not say. */
export interface MetricDefaults {
  readonly aggregation: string;
  readonly higherIsBetter: boolean;
  /** Kinds of tasks that have it. */
  readonly outputs: readonly TaskConfig["output_type"][];
}

function metric(
  aggregation: string,
  higherIsBetter: boolean,
  ...outputs: TaskConfig["output_type"][]
): MetricDefaults {
  return { aggregation, higherIsBetter, outputs };
}

/** Metrics, with the defaults of the harness (`lm_eval/api/metrics.py`). */
export const METRICS: ReadonlyMap<string, MetricDefaults> = new Map([
  ["acc", metric("mean", true, "multiple_choice", "loglikelihood")],
  ["acc_norm", metric("mean", true, "multiple_choice")],
  ["acc_bytes", metric("mean", true, "multiple_choice")],
  ["acc_mutual_info", metric("mean", true, "multiple_choice")],
  ["exact_match", metric("mean", true, "multiple_choice", "generate_until")],
  ["perplexity", metric("perplexity", false, "loglikelihood")],
  ["word_perplexity", metric("weighted_perplexity", false, "loglikelihood_rolling")],
  ["byte_perplexity", metric("weighted_perplexity", false, "loglikelihood_rolling")],
  ["bits_per_byte", metric("bits_per_byte", false, "loglikelihood_rolling")],
]);

/** Metrics of tasks without `metric_list`. */
export const DEFAULT_METRICS: Readonly<Record<TaskConfig["output_type"], readonly string[]>> = {
  generate_until: ["exact_match"],
  loglikelihood: ["perplexity", "acc"],
  loglikelihood_rolling: ["word_perplexity", "byte_perplexity", "bits_per_byte"],
  multiple_choice: ["acc", "acc_norm"],
};

/** How the numbers of items become one. */
export interface Aggregation {
  readonly of: (values: readonly SampleMetric[]) => number;
  /** How its standard error is found; null where the harness has none ("N/A"). */
  readonly error: "mean" | "bootstrap" | null;
}

/** Aggregations of the harness. */
export const AGGREGATIONS: ReadonlyMap<string, Aggregation> = new Map<string, Aggregation>([
  ["mean", { of: (values) => mean(plain(values)), error: "mean" }],
  ["nanmean", { of: (values) => mean(plain(values).filter((v) => !isNaN(v))), error: "bootstrap" }],
  ["median", { of: (values) => median(plain(values)), error: "bootstrap" }],
  ["perplexity", { of: (values) => Math.exp(-mean(plain(values))), error: "bootstrap" }],
  ["weighted_perplexity", { of: (values) => Math.exp(-weightedMean(values)), error: null }],
  ["bits_per_byte", { of: (values) => -weightedMean(values) / Math.LN2, error: null }],
]);

function plain(values: readonly SampleMetric[]): number[] {
  return values.map((value) => typeof value === "number" ? value : value[0]);
}

function weightedMean(values: readonly SampleMetric[]): number {
  let sum = 0;
  let weights = 0;
  for (const value of values) {
    const [part, weight] = typeof value === "number" ? [value, 1] : value;
    sum += part;
    weights += weight;
  }
  return sum / weights;
}
