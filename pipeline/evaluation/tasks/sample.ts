/**
 * What an evaluated task leaves besides its numbers: its items, one by one, and what it was. Names
 * follow the sample files of lm-evaluation-harness, so that its readers understand ours.
 *
 * @module
 */

/** `[log-likelihood, is greedy]`, a log-likelihood of a whole text, or a generated text. */
export type SampleResponse = readonly [number, boolean] | number | string;

/** A number per item; `[log-likelihood, weight]` for perplexities, whose weights are words or bytes. */
export type SampleMetric = number | readonly [number, number];

/** One item of a task, seen through one filter. */
export interface Sample {
  /** Place of the item in its split, from 0. */
  readonly doc_id: number;
  /** The row as it was read. */
  readonly doc: Readonly<Record<string, unknown>>;
  /** What is right, as the task names it: a text, or the number of a choice. */
  readonly target: unknown;
  /** Of each request: context and continuation, or context and generation settings. */
  readonly arguments: readonly (readonly unknown[])[];
  /** Of each request: its responses, one for each repeat. */
  readonly resps: readonly (readonly SampleResponse[])[];
  /** Of each request: what the filter left of its responses. */
  readonly filtered_resps: readonly unknown[];
  /** Name of the filter; "none" if there is none. */
  readonly filter: string;
  /** By name ("acc"), for this item alone. */
  readonly metrics: Readonly<Record<string, SampleMetric>>;
}

/** A number of a task or a group. */
export interface TaskMetric {
  readonly value: number;
  /** Null where there is none. */
  readonly standardError: number | null;
}

/** A task as it was evaluated. */
export interface TaskRecord {
  /** "mmlu_anatomy"; its samples have this name. */
  readonly task: string;
  /** Name for tables, if the task has one. */
  readonly alias?: string;
  /** `metadata.version` of the task. */
  readonly version: number | string | null;
  /** The task's configuration as it was read, with every default that was used. */
  readonly config: Readonly<Record<string, unknown>>;
  /** Examples before each question. */
  readonly num_fewshot: number;
  /** By metric. */
  readonly higher_is_better: Readonly<Record<string, boolean>>;
  /** Items of the split, of which `limit` may have left some. */
  readonly original: number;
  /** Items that were evaluated. */
  readonly effective: number;
  /** By metric and filter ("acc,none", "exact_match,strict-match"). */
  readonly metrics: Readonly<Record<string, TaskMetric>>;
}

/** A group of tasks as it was evaluated. */
export interface GroupRecord {
  /** "mmlu_stem". */
  readonly group: string;
  /** Name for tables, if the group has one. */
  readonly alias?: string;
  readonly version: number | string | null;
  /** Names of its tasks and groups. */
  readonly subtasks: readonly string[];
  /** Items of all its tasks. */
  readonly effective: number;
  /** As of a task; empty if the group only gathers tasks. */
  readonly metrics: Readonly<Record<string, TaskMetric>>;
}

/** All that a model was asked. */
export interface EvaluationRecord {
  readonly tasks: readonly TaskRecord[];
  readonly groups: readonly GroupRecord[];
}
