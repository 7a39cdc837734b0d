/**
 * All evaluation tasks. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import { z } from "zod";
import { perplexity } from "./perplexity_task.ts";
import type { EvaluationTask } from "./task.ts";

const tasks = [perplexity] as const;

type ParametersOf<Task> = Task extends EvaluationTask<infer Parameters> ? Parameters : never;

/** Parameters of any task, told apart by `task`. */
export type TaskParameters = ParametersOf<typeof tasks[number]>;

/** Schema of an entry of `tasks:` in an `evaluate` stage. */
export const taskSchema: z.ZodType<TaskParameters> = z.discriminatedUnion(
  "task",
  [...tasks.map(({ parameters }) => parameters)] as [typeof perplexity.parameters],
) as unknown as z.ZodType<TaskParameters>; // the interface forgets the exact schemas

/** The task that a set of parameters belongs to. */
export function taskFor(parameters: TaskParameters): EvaluationTask<TaskParameters> {
  const task = tasks.find(({ name }) => name === parameters.task);
  if (task === undefined) throw new RangeError(`Unknown evaluation task ${parameters.task}`);
  return task;
}
