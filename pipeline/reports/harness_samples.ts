/**
 * Items of tasks as lm-evaluation-harness writes them with `--log_samples`: one line of JSON each
 * (`save_results_samples` of its `loggers/evaluation_tracker.py`, and `evaluate` of `evaluator.py`).
 *
 * @module
 */

import { createHash } from "node:crypto";
import { text } from "../evaluation/python/literal.ts";
import type { Sample, SampleMetric } from "../evaluation/tasks/sample.ts";
import { PythonFloat, pythonJson } from "./python_json.ts";

/** What tells whether two programs saw the same item; SHA-256, hexadecimal. */
export interface SampleHashes {
  readonly doc_hash: string;
  readonly prompt_hash: string;
  readonly target_hash: string;
}

/** Hashes of an item as the harness computes them. */
export function sampleHashes({ doc, arguments: requests, target }: Sample): SampleHashes {
  return {
    doc_hash: hashText(pythonJson(doc, 2)),
    prompt_hash: hashText(text(requests[0]?.[0] ?? "")),
    target_hash: hashText(text(target)),
  };
}

/** The hash of a task: of the hashes of its items, one after the other. */
export function taskHash(hashes: readonly SampleHashes[]): string {
  return hashText(
    hashes.map((item) => item.doc_hash + item.prompt_hash + item.target_hash).join(""),
  );
}

/** One line of `samples_TASK_TIME.jsonl`, without its end. */
export function sampleLine(sample: Sample, hashes: SampleHashes): string {
  const { doc_id, doc, target, resps, filtered_resps, filter, metrics } = sample;
  const requests = sample.arguments.map((parts, index) => [
    `gen_args_${index}`,
    Object.fromEntries(parts.map((part, place) => [`arg_${place}`, part])),
  ]);
  return pythonJson({
    doc_id,
    doc,
    target: text(target),
    arguments: Object.fromEntries(requests),
    resps: texts(resps),
    filtered_resps: texts(filtered_resps),
    filter,
    metrics: Object.keys(metrics),
    ...hashes,
    ...Object.fromEntries(
      Object.entries(metrics).map(([name, value]) => [name, metricValue(value)]),
    ),
  }, null);
}

/** Everything inside lists becomes text, so that a column has one type (`sanitize_list`). */
function texts(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(texts);
  return typeof value === "number" ? new PythonFloat(value).toString() : text(value);
}

/** The weight beside a log-likelihood counts words or bytes. */
function metricValue(value: SampleMetric): unknown {
  return typeof value === "number" ? new PythonFloat(value) : [new PythonFloat(value[0]), value[1]];
}

/** SHA-256 of the UTF-8 of a text, hexadecimal (`hash_string`). */
function hashText(value: string): string {
  return createHash("sha256").update(value, "utf8").digest("hex");
}
