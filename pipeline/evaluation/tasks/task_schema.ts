/**
 * The static subset of lm-evaluation-harness's task files, as a schema.
 *
 * @module
 */

import { z } from "zod";

const functionReference = z.strictObject({ function: z.string(), place: z.string() });

const split = z.string().nullish();

const field = z.union([z.string(), z.int(), functionReference]);
const target = z.union([z.string(), z.int(), z.array(z.unknown()), functionReference]);
const choice = z.union([
  z.string(),
  z.array(z.unknown()),
  functionReference,
  z.record(z.string(), z.unknown()),
]);

const fewshotConfig = z.strictObject({
  sampler: z.enum(["default", "first_n"]).default("default"),
  split,
  process_docs: functionReference.nullish(),
  samples: z.union([z.array(z.record(z.string(), z.unknown())), functionReference]).nullish(),
  doc_to_text: field.nullish(),
  doc_to_target: target.nullish(),
  doc_to_choice: choice.nullish(),
  gen_prefix: z.string().nullish(),
  fewshot_delimiter: z.string().nullish(),
  target_delimiter: z.string().nullish(),
});

const metric = z.strictObject({
  metric: z.string(),
  aggregation: z.string().optional(),
  higher_is_better: z.boolean().optional(),
  ignore_case: z.boolean().optional(),
  ignore_punctuation: z.boolean().optional(),
  ignore_numbers: z.boolean().optional(),
  regexes_to_ignore: z.array(z.string()).optional(),
  // Many files of the harness have this key of groups here as well, where it does nothing.
  weight_by_size: z.boolean().optional(),
  hf_evaluate: z.literal(false).optional(),
});

/** Settings of generation, by the names of the harness. */
export const generationSchema = z.strictObject({
  until: z.union([z.string(), z.array(z.string())]).optional(),
  do_sample: z.boolean().optional(),
  temperature: z.number().nonnegative().optional(),
  top_k: z.int().nonnegative().optional(),
  top_p: z.number().positive().max(1).optional(),
  max_gen_toks: z.int().positive().optional(),
  max_new_tokens: z.int().positive().optional(),
  max_tokens: z.int().positive().optional(),
  max_completion_tokens: z.int().positive().optional(),
});

// Loose: which keys a filter has is known to the filter, which says so.
const filter = z.looseObject({
  function: z.string(),
  regex_pattern: z.string().optional(),
  group_select: z.int().optional(),
  fallback: z.string().optional(),
  mapping_dict: z.record(z.string(), z.unknown()).optional(),
  default_value: z.unknown().optional(),
  k: z.int().positive().optional(),
});

/** Keys of a task, as a file has them. */
export const taskSchema = z.strictObject({
  task: z.string(),
  task_alias: z.string().nullish(),
  tag: z.union([z.string(), z.array(z.string())]).nullish(),
  group: z.union([z.string(), z.array(z.string())]).nullish(),
  dataset_path: z.string().nullish(),
  dataset_name: z.string().nullish(),
  dataset_kwargs: z.record(z.string(), z.unknown()).nullish(),
  training_split: split,
  validation_split: split,
  test_split: split,
  fewshot_split: split,
  process_docs: functionReference.nullish(),
  doc_to_text: field.nullish(),
  doc_to_target: target.nullish(),
  doc_to_choice: choice.nullish(),
  process_results: functionReference.nullish(),
  description: z.string().default(""),
  target_delimiter: z.string().default(" "),
  fewshot_delimiter: z.string().default("\n\n"),
  fewshot_config: fewshotConfig.nullish(),
  num_fewshot: z.int().nonnegative().nullish(),
  metric_list: z.array(metric).nullish(),
  output_type: z.enum([
    "generate_until",
    "loglikelihood",
    "loglikelihood_rolling",
    "multiple_choice",
  ]).default("generate_until"),
  generation_kwargs: generationSchema.nullish(),
  repeats: z.int().positive().default(1),
  filter_list: z.array(z.strictObject({ name: z.string(), filter: z.array(filter).min(1) })).min(1)
    .nullish(),
  should_decontaminate: z.boolean().default(false),
  doc_to_decontamination_query: z.unknown().optional(),
  gen_prefix: z.string().nullish(),
  unsafe_code: z.literal(false).default(false),
  metadata: z.record(z.string(), z.unknown()).nullish(),
});

const aggregate = z.strictObject({
  metric: z.string(),
  aggregation: z.literal("mean").default("mean"),
  weight_by_size: z.boolean().default(true),
  filter_list: z.union([z.string(), z.array(z.string())]).nullish(),
});

/** Keys of a group, as a file has them; further keys override those of its tasks. */
export const groupSchema = z.looseObject({
  group: z.string(),
  group_alias: z.string().nullish(),
  tag: z.union([z.string(), z.array(z.string())]).nullish(),
  task: z.array(z.union([z.string(), z.record(z.string(), z.unknown())])).min(1),
  aggregate_metric_list: z.union([aggregate, z.array(aggregate)]).nullish(),
  metadata: z.record(z.string(), z.unknown()).nullish(),
});

/** A task as the schema leaves it, with its defaults. */
export type TaskConfig = z.output<typeof taskSchema>;

/** A group as the schema leaves it. */
export type GroupConfig = z.output<typeof groupSchema>;

/** An entry of `metric_list`. */
export type MetricConfig = z.output<typeof metric>;

/** An entry of `filter:` in `filter_list`. */
export type FilterConfig = z.output<typeof filter>;

/** An entry of `aggregate_metric_list`. */
export type AggregateConfig = z.output<typeof aggregate>;

/** Keys of the harness that stand for code or for more than text, and why they are refused. */
export const UNSUPPORTED_KEYS: Readonly<Record<string, string>> = {
  class: "it names a Python class",
  custom_dataset: "it names a Python function that makes the data; give the rows in files",
  doc_to_audio: "only texts are evaluated",
  doc_to_image: "only texts are evaluated",
  use_prompt: "it names a prompt of promptsource; write the template into doc_to_text",
};
