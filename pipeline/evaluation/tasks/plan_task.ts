/**
 * From a task and its files to the items that a model is asked about.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { LiteralError } from "../python/literal.ts";
import { type BadItemPolicy, BadItems } from "./bad_items.ts";
import { DocumentFields } from "./document_fields.ts";
import { FewshotSampler } from "./fewshot.ts";
import { FieldError } from "./fields.ts";
import { findFunction } from "./functions/registry.ts";
import { type Item, makeItem } from "./item.ts";
import { PromptBuilder } from "./prompt.ts";
import type { Document, TaskFiles } from "./task_data.ts";
import { isFunction, type Task } from "./task_node.ts";
import { examplesSplitOf, testedSplitOf } from "./task_sources.ts";
import { TemplateError } from "./template.ts";

/** How a task is asked. */
export interface AskOptions {
  /** Null takes the task's own number. */
  readonly shots: number | null;
  readonly seed: number;
  /** Items of each task; below 1 a share of them; null takes all. */
  readonly limit: number | null;
  readonly onBadItem: BadItemPolicy;
  /** Is told of what is left out. */
  readonly log: (line: string) => void;
}

/** Files of a task. */
export interface AskedFiles {
  /** The questions. */
  readonly test: readonly string[];
  /** Where examples come from; null where they come from the task or from the questions. */
  readonly fewshot: readonly string[] | null;
}

/** A task with its questions. */
export interface PlannedTask {
  readonly task: Task;
  readonly shots: number;
  readonly items: readonly Item[];
  /** Items of the split, of which `limit` may have left some. */
  readonly original: number;
  /** Rows that could not be asked. */
  readonly bad: number;
}

/**
 * Reads the rows of a task and makes its prompts.
 *
 * @throws {UserError} If there is no item or not enough examples, or an item is bad and that is an
 * error.
 */
export async function planTask(
  task: Task,
  files: AskedFiles,
  reader: TaskFiles,
  options: AskOptions,
): Promise<PlannedTask> {
  const bad = new BadItems(options.onBadItem, options.log);
  const shots = shotsOf(task, options.shots);
  const documents = await reader.documents(task, files.test, task.config.process_docs, bad);
  const pool = shots === 0 ? [] : await examplesOf(task, files, documents, reader, bad);
  const columns = new Set(documents.flatMap(({ fields }) => Object.keys(fields)));
  const prompts = new PromptBuilder(task, new DocumentFields(task, columns));
  const sampler = new FewshotSampler(pool.map(({ fields }) => fields), {
    sampler: task.config.fewshot_config?.sampler ?? "default",
    seed: options.seed,
    mayHoldQuestion: mayHoldQuestion(task),
  });
  const items: Item[] = [];
  for (const [id, document] of limited(documents, options.limit).entries()) {
    // Drawn for bad items as well: what is left out does not change the examples of the others.
    const examples = sampleFor(task, sampler, shots, document);
    try {
      items.push(makeItem(task, id, document, prompts.build(document.fields, examples)));
    } catch (error) {
      if (!isBadItem(error)) throw error;
      bad.add(document.place, error.message);
    }
  }
  if (items.length === 0) {
    throw new UserError(
      `The task ${task.name} has no item to ask in ${files.test.join(", ")}` +
        (bad.count > 0 ? `: ${bad.count} were left out` : ""),
    );
  }
  return { task, shots, items, original: documents.length, bad: bad.count };
}

/** The task's number of examples wins only where it is 0: then its prompt already says everything. */
function shotsOf(task: Task, wanted: number | null): number {
  const own = task.config.num_fewshot ?? null;
  if (wanted === null) return own ?? 0;
  if (own !== 0 || wanted === 0) return wanted;
  throw new UserError(
    `The task ${task.name} is defined without examples (num_fewshot: 0): leave num_fewshot out`,
  );
}

/** The harness compares what the task says of the two splits, also where it says nothing of both. */
function mayHoldQuestion({ config }: Task): boolean {
  const split = config.fewshot_config?.split ?? config.fewshot_split ?? null;
  return split === (config.test_split ?? null);
}

async function examplesOf(
  task: Task,
  files: AskedFiles,
  questions: readonly Document[],
  reader: TaskFiles,
  bad: BadItems,
): Promise<readonly Document[]> {
  const { config } = task;
  const fewshot = config.fewshot_config ?? null;
  const rows = fewshot?.process_docs ?? config.process_docs;
  if (files.fewshot !== null) return await reader.documents(task, files.fewshot, rows, bad);
  const split = examplesSplitOf(task);
  const samples = fewshot?.samples ?? null;
  if (split === null && samples !== null) return samplesOf(task, samples);
  if (split === testedSplitOf(task)) return questions;
  throw new UserError(
    `The task ${task.name} takes its examples from the split "${split}": name its files under ` +
      "data.fewshot, or set num_fewshot: 0",
  );
}

function samplesOf(
  task: Task,
  samples: NonNullable<NonNullable<Task["config"]["fewshot_config"]>["samples"]>,
): readonly Document[] {
  const place = task.place(["fewshot_config", "samples"]);
  const rows = isFunction(samples) ? [findFunction(samples, "rows", task.owners)({})] : samples;
  return rows.map((fields) => ({ fields, place }));
}

function sampleFor(
  task: Task,
  sampler: FewshotSampler,
  shots: number,
  document: Document,
): ReturnType<FewshotSampler["sample"]> {
  try {
    return sampler.sample(shots, document.fields);
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    throw new UserError(`The task ${task.name}: ${error.message}`);
  }
}

function limited(documents: readonly Document[], limit: number | null): readonly Document[] {
  if (limit === null) return documents;
  return documents.slice(0, limit < 1 ? Math.ceil(documents.length * limit) : limit);
}

function isBadItem(error: unknown): error is Error {
  return error instanceof FieldError || error instanceof TemplateError ||
    error instanceof LiteralError;
}
