/**
 * Which files a task reads, where an experiment does not name them: those that the task itself names,
 * or those of its data set on the Hugging Face Hub.
 *
 * @module
 */

import { dirname, isAbsolute, join } from "node:path";
import { leaves, type Task, type TaskNode } from "./task_node.ts";

/** References of the files of a task. */
export interface TaskReferences {
  readonly test: readonly string[];
  readonly fewshot: readonly string[];
}

/** Builders of the `datasets` library that read local files. */
const FILE_BUILDERS = new Set(["json", "csv", "parquet"]);

/** Where the Hub keeps every data set as Parquet, by configuration and split. */
const PARQUET_BRANCH = "refs/convert/parquet";

/**
 * The references, without doubles; null if a task says nothing of its files.
 *
 * @param withExamples Whether examples are needed.
 */
export function taskReferences(node: TaskNode, withExamples: boolean): TaskReferences | null {
  const test: string[] = [];
  const fewshot: string[] = [];
  for (const task of leaves(node)) {
    const tested = testedSplitOf(task);
    const references = tested === null ? null : referencesOf(task, tested);
    if (references === null) return null;
    test.push(...references);
    const split = examplesSplitOf(task);
    if (withExamples && split !== null && split !== tested) {
      fewshot.push(...referencesOf(task, split) ?? []);
    }
  }
  return { test: [...new Set(test)], fewshot: [...new Set(fewshot)] };
}

/** The split of the questions: the harness takes those of validation where there are no tests. */
export function testedSplitOf({ config }: Task): string | null {
  return config.test_split ?? config.validation_split ?? null;
}

/** The split that examples come from; null if they stand in the task file. */
export function examplesSplitOf({ config }: Task): string | null {
  const split = config.fewshot_config?.split ?? config.fewshot_split ?? null;
  if (split !== null) return split;
  if ((config.fewshot_config?.samples ?? null) !== null) return null;
  return config.training_split ?? config.validation_split ?? config.test_split ?? null;
}

function referencesOf(task: Task, split: string): string[] | null {
  const { dataset_path: path, dataset_name: name, dataset_kwargs: settings } = task.config;
  if (path === null || path === undefined) return null;
  if (!FILE_BUILDERS.has(path)) {
    return path.includes("/")
      ? [`hf:datasets/${path}@${PARQUET_BRANCH}/${name ?? "default"}/${split}/*.parquet`]
      : null;
  }
  const files = settings?.data_files;
  const own = typeof files === "object" && files !== null && !Array.isArray(files)
    ? (files as Record<string, unknown>)[split]
    : files;
  const names = [own ?? []].flat().filter((file) => typeof file === "string");
  if (names.length === 0) return null;
  const folder = dirname(task.files[0] ?? "");
  return names.map((file) =>
    isAbsolute(file) || file.startsWith("hf:") ? file : join(folder, file)
  );
}
