/**
 * An entry of `tasks:` that names a task of questions and answers.
 *
 * @module
 */

import { basename, extname } from "node:path";
import { z } from "zod";
import { didYouMeanOf } from "../../graph/suggestions.ts";
import { BOS_POLICIES } from "../requests/request_tokenizer.ts";
import { BUNDLED_NAMES, isBundled } from "./bundled/bundled_tasks.ts";
import { FEWSHOT_SEED } from "./fewshot.ts";
import { BOOTSTRAP_ITERATIONS } from "./summarize.ts";
import { generationSchema } from "./task_schema.ts";

const IS_FILE = /\.ya?ml$/;

const files = z.union([z.string(), z.array(z.string()).min(1)]);

/** Schema of {@linkcode HarnessParameters}. */
export const harnessParameters = z.strictObject({
  task: z.string().superRefine((name, context) => {
    if (IS_FILE.test(name) || isBundled(name)) return;
    context.addIssue({
      code: "custom",
      message: `there is no task ${JSON.stringify(name)}` +
        `${didYouMeanOf(name, ["perplexity", ...BUNDLED_NAMES])}, single subjects and categories ` +
        "of mmlu, and task files (path/to/task.yaml) of lm-evaluation-harness",
    });
  }).meta({
    anyOf: [{ enum: BUNDLED_NAMES }, { pattern: "\\.ya?ml$" }, { pattern: "^[a-z0-9_]+$" }],
  }).describe("A task that comes with Equipoise, or a task file of lm-evaluation-harness."),
  name: z.string().regex(/^[a-z][a-z0-9_]*$/).optional()
    .describe("Begins the names of the metrics; the task's own name if absent."),
  data: z.strictObject({
    test: files.optional().describe("The questions: tables, or a folder of them."),
    fewshot: files.optional().describe("Where examples are taken from."),
  }).default({}).describe("Files of the task; those on the Hugging Face Hub where it names none."),
  num_fewshot: z.int().nonnegative().optional()
    .describe("Examples before each question; what the task says, or 0, if absent."),
  subtasks: z.boolean().optional().describe(
    "Whether the tasks of a group are metrics as well; by default those of groups of up to ten.",
  ),
  fewshot_seed: z.int().nonnegative().default(FEWSHOT_SEED)
    .describe("Seed of Python's generator that draws examples."),
  limit: z.number().positive().refine((limit) => limit < 1 || Number.isInteger(limit), {
    message: "must be a whole number of items, or a share below 1",
  }).optional().describe("Only the first items of each task; below 1 a share of them."),
  generation: generationSchema.optional()
    .describe("Changes settings of generation (do_sample, temperature, max_gen_toks, until)."),
  bos: z.enum(BOS_POLICIES).default("tokenizer").describe(
    "Whether texts begin with BOS: as the tokenizer says (lm-eval from 0.4.9.2), none (before), always.",
  ),
  max_length: z.int().positive().optional()
    .describe("Tokens that the model sees at most; its positions if absent."),
  on_bad_item: z.enum(["error", "skip"]).default("error")
    .describe("What becomes of rows that cannot be asked; those left out are counted."),
  on_long_prompt: z.enum(["truncate", "error", "skip"]).default("truncate")
    .describe(
      "What becomes of prompts longer than max_length; truncate cuts their left, and counts.",
    ),
  bootstrap_iterations: z.int().nonnegative().default(BOOTSTRAP_ITERATIONS)
    .describe("Draws for standard errors without a formula (perplexity, median)."),
});

/** An entry of `tasks:` that names a task of questions and answers. */
export type HarnessParameters = z.output<typeof harnessParameters>;

/** Whether the task is a file and not one that comes with Equipoise. */
export function isTaskFile({ task }: Pick<HarnessParameters, "task">): boolean {
  return IS_FILE.test(task);
}

/** What metrics of the entry begin with. */
export function nameOfEntry({ name, task }: Pick<HarnessParameters, "name" | "task">): string {
  if (name !== undefined) return name;
  return basename(task, extname(task)).toLowerCase().replaceAll(/[^a-z0-9_]/g, "_");
}
