/**
 * All evaluation tasks. A new one is a file in this folder and a place in this list; a new set of
 * questions and answers is a task file (`tasks/bundled/`).
 *
 * @module
 */

import { z } from "zod";
import { perplexity } from "./perplexity_task.ts";
import type { EvaluationTask } from "./task.ts";
import { harness } from "./tasks/harness_task.ts";

/** Tasks whose `task:` is their name; everything else is a question for the last one. */
const named = [perplexity] as const;

type ParametersOf<Task> = Task extends EvaluationTask<infer Parameters> ? Parameters : never;

/** Parameters of any task, told apart by `task`. */
export type TaskParameters = ParametersOf<typeof named[number] | typeof harness>;

/** Schema of an entry of `tasks:` in an `evaluate` stage. */
export const taskSchema: z.ZodType<TaskParameters> = z.union(
  [...named, harness].map(({ parameters }) => parameters),
) as unknown as z.ZodType<TaskParameters>; // the interface forgets the exact schemas

/** The task that a set of parameters belongs to. */
export function taskFor(parameters: TaskParameters): EvaluationTask<TaskParameters> {
  const task = named.find(({ name }) => name === parameters.task) ?? harness;
  return task as unknown as EvaluationTask<TaskParameters>; // it takes the parameters it has parsed
}
