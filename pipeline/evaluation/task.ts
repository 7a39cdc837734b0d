/**
 * What an evaluation task is: parameters, the data it reads, and numbers from a model.
 *
 * @module
 */

import type { z } from "zod";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Metric, Source } from "../graph/stage.ts";
import type { LanguageModel } from "../models/language_model.ts";

/** The model under evaluation, and what tasks need besides it. */
export interface EvaluationEnvironment {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** Rows of one forward pass; results do not depend on it. */
  readonly batchSize: number;
  /** Absolute paths of a data reference. */
  resolve(reference: string): Promise<readonly string[]>;
  /** `done` of `total` rows are scored. */
  report(done: number, total: number): void;
}

/** One way to measure a model. */
export interface EvaluationTask<Parameters extends { readonly task: string }> {
  /** The value of `task:` in the experiment file. */
  readonly name: Parameters["task"];
  readonly summary: string;
  /** A strict zod object whose `task` is the literal `name`. */
  readonly parameters: z.ZodObject<{ task: z.ZodLiteral<string> } & z.ZodRawShape>;
  /** Data read by the task; paths are relative to its parameters. */
  sources(parameters: Parameters): readonly Source[];
  /** The allocations of `run`, made on a device that only counts and freed again. */
  rehearse(model: LanguageModel, batchSize: number, parameters: Parameters): void;
  run(
    environment: EvaluationEnvironment,
    parameters: Parameters,
  ): Promise<Readonly<Record<string, Metric>>>;
}
