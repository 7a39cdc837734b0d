/**
 * The numbers of one item (`process_results` of `lm_eval/api/task.py`).
 *
 * @module
 */

import { text as pythonText } from "../python/literal.ts";
import { compile } from "../python/regular_expression.ts";
import { byteLength, countPieces, length } from "../python/text.ts";
import { findFunction } from "./functions/registry.ts";
import type { Item } from "./item.ts";
import { DEFAULT_METRICS } from "./metric_names.ts";
import type { Prompt } from "./prompt.ts";
import type { SampleMetric, SampleResponse } from "./sample.ts";
import type { Task } from "./task_node.ts";
import type { MetricConfig } from "./task_schema.ts";

/** Metrics of a task, with their settings. */
export function metricsOf(task: Task): readonly MetricConfig[] {
  const { metric_list: list, output_type: output } = task.config;
  return list ?? DEFAULT_METRICS[output].map((metric) => ({ metric }));
}

/**
 * @param filtered What a filter left of the responses to each request.
 * @returns By metric, in the order of the task.
 */
export function itemMetrics(
  item: Item,
  filtered: readonly unknown[],
): Readonly<Record<string, SampleMetric>> {
  const { task, prompt, document } = item;
  const { process_results: own, output_type: output } = task.config;
  if (own) {
    const compute = findFunction(own, "results", task.owners);
    return compute(document.fields, filtered as readonly SampleResponse[]);
  }
  const metrics = metricsOf(task);
  switch (output) {
    case "multiple_choice":
      return pick(choiceMetrics(prompt, filtered as readonly [number, boolean][]), metrics);
    case "loglikelihood": {
      const [[sum, isGreedy] = [NaN, false]] = filtered as readonly [number, boolean][];
      return pick({ perplexity: sum, acc: Number(isGreedy) }, metrics);
    }
    case "loglikelihood_rolling": {
      const text = pythonText(prompt.target);
      const sum = Number(filtered[0]);
      const bytes = byteLength(text);
      return pick({
        word_perplexity: [sum, countPieces(text)],
        byte_perplexity: [sum, bytes],
        bits_per_byte: [sum, bytes],
      }, metrics);
    }
    case "generate_until":
      return Object.fromEntries(
        metrics.map((
          metric,
        ) => [metric.metric, exactMatch(goldTexts(prompt), filtered[0], metric)]),
      );
  }
}

function pick(
  values: Readonly<Record<string, SampleMetric>>,
  metrics: readonly MetricConfig[],
): Record<string, SampleMetric> {
  return Object.fromEntries(metrics.map(({ metric }) => [metric, values[metric] ?? NaN]));
}

/**
 * `acc` takes the likeliest choice, `acc_norm` the likeliest by character of its text, `acc_bytes` by
 * byte in UTF-8; the delimiter before it does not count. Of equal ones the first is taken.
 */
function choiceMetrics(
  { choices, target, gold }: Prompt,
  responses: readonly (readonly [number, boolean])[],
): Record<string, number> {
  const texts = choices ?? [];
  const sums = responses.slice(0, texts.length).map(([sum]) => sum);
  const unconditional = responses.slice(texts.length).map(([sum]) => sum);
  const right = [gold ?? target].flat()
    .map((answer) => typeof answer === "number" ? answer : texts.indexOf(String(answer)));
  const isRight = (scores: readonly number[]) => Number(right.includes(argmax(scores)));
  return {
    acc: isRight(sums),
    acc_norm: isRight(sums.map((sum, index) => sum / length(texts[index] ?? ""))),
    acc_bytes: isRight(sums.map((sum, index) => sum / byteLength(texts[index] ?? ""))),
    acc_mutual_info: isRight(sums.map((sum, index) => sum - (unconditional[index] ?? 0))),
    exact_match: Number(right.some((index) => responses[index]?.[1] === true)),
  };
}

function argmax(scores: readonly number[]): number {
  let best = 0;
  for (const [index, score] of scores.entries()) if (score > (scores[best] ?? NaN)) best = index;
  return best;
}

function goldTexts({ choices, target }: Prompt): string[] {
  if (choices !== null && typeof target === "number") return [choices.at(target) ?? ""];
  return (Array.isArray(target) ? target : [target]).map(pythonText);
}

const PUNCTUATION = /[!-/:-@[-`{-~]/g;

/** What `exact_match` makes of both texts before it compares them. */
export function normalizer(metric: MetricConfig): (text: string) => string {
  const patterns = (metric.regexes_to_ignore ?? []).map(compile);
  return (text) => {
    let rest = patterns.reduce((left, pattern) => left.replace(pattern, ""), text);
    if (metric.ignore_case === true) rest = rest.toLowerCase();
    if (metric.ignore_punctuation === true) rest = rest.replace(PUNCTUATION, "");
    return metric.ignore_numbers === true ? rest.replace(/[0-9]/g, "") : rest;
  };
}

/** 1 if the text equals one that is right, both normalized. */
export function exactMatch(golds: readonly string[], found: unknown, metric: MetricConfig): number {
  const normalize = normalizer(metric);
  const answer = normalize(pythonText(found));
  return Number(golds.some((gold) => normalize(gold) === answer));
}
