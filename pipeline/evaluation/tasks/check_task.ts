/**
 * Mistakes of a task that its schema does not see: functions, metrics, filters and patterns that are
 * not there, and templates that are none.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { didYouMeanOf } from "../../graph/suggestions.ts";
import { AGGREGATIONS, METRICS } from "./metric_names.ts";
import { buildFilters } from "./filters.ts";
import { compile } from "../python/regular_expression.ts";
import { findFunction } from "./functions/registry.ts";
import { isFunction, type Task } from "./task_node.ts";
import { Template } from "./template.ts";

/** @throws {UserError} With file and line of the first mistake. */
export function checkTask(task: Task): void {
  const { config, owners } = task;
  const fewshot = config.fewshot_config ?? null;
  for (const rows of [config.process_docs, fewshot?.process_docs]) {
    if (isFunction(rows)) findFunction(rows, "rows", owners);
  }
  if (isFunction(config.process_results)) {
    findFunction(config.process_results, "results", owners);
  }
  if (isFunction(fewshot?.samples)) findFunction(fewshot.samples, "rows", owners);
  for (const key of ["doc_to_text", "doc_to_target", "doc_to_choice", "gen_prefix"] as const) {
    checkField(task, config[key], [key]);
    checkField(task, fewshot?.[key], ["fewshot_config", key]);
  }
  checkField(task, config.description, ["description"]);
  if (config.doc_to_text === undefined && config.output_type !== "loglikelihood_rolling") {
    throw new UserError(`${task.place([])}: the task ${task.name} has no doc_to_text`);
  }
  if (config.output_type === "multiple_choice" && (config.doc_to_choice ?? null) === null) {
    throw new UserError(
      `${task.place(["output_type"])}: output_type multiple_choice needs doc_to_choice`,
    );
  }
  checkMetrics(task);
  buildFilters(task);
}

function checkField(task: Task, field: unknown, steps: readonly PropertyKey[]): void {
  if (isFunction(field)) findFunction(field, "fields", task.owners);
  if (typeof field !== "string") return;
  try {
    new Template(field);
  } catch (error) {
    throw new UserError(
      `${task.place(steps)}: ${steps.join(".")} is not a Jinja template: ${
        (error as Error).message
      }`,
    );
  }
}

function checkMetrics(task: Task): void {
  const { metric_list: metrics, output_type: output, process_results: own } = task.config;
  for (const [index, entry] of (metrics ?? []).entries()) {
    const place = task.place(["metric_list", index]);
    const known = [...METRICS].filter(([, { outputs }]) => outputs.includes(output));
    // Functions of a task may return metrics of any name.
    if (!isFunction(own) && !known.some(([name]) => name === entry.metric)) {
      const names = known.map(([name]) => name);
      throw new UserError(
        `${place}: there is no metric "${entry.metric}" for output_type ${output}` +
          didYouMeanOf(entry.metric, names),
      );
    }
    if (entry.aggregation !== undefined && !AGGREGATIONS.has(entry.aggregation)) {
      throw new UserError(
        `${place}: there is no aggregation "${entry.aggregation}"` +
          didYouMeanOf(entry.aggregation, [...AGGREGATIONS.keys()]),
      );
    }
    for (const pattern of entry.regexes_to_ignore ?? []) {
      try {
        compile(pattern);
      } catch (error) {
        throw new UserError(
          `${place}: ${JSON.stringify(pattern)} cannot be used: ${(error as Error).message}`,
        );
      }
    }
  }
}
