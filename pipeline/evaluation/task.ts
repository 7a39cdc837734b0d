/**
 * What an evaluation task is: parameters, the data it reads, and numbers from a model.
 *
 * @module
 */

import type { z } from "zod";
import type { Tokenizer } from "../data/tokenizer.ts";
import type { Metric, Source } from "../graph/stage.ts";
import type { LanguageModel } from "../models/language_model.ts";
import type { EvaluationRecord, Sample } from "./tasks/sample.ts";

/** The model under evaluation, and what tasks need besides it. */
export interface EvaluationEnvironment {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** Rows of one forward pass; results do not depend on it. */
  readonly batchSize: number;
  /** Absolute paths of a data reference. */
  resolve(reference: string): Promise<readonly string[]>;
  /** Tokens that end a generated text. */
  readonly endTokens: Iterable<number>;
  /** Of everything that is drawn from the model. */
  readonly seed: number;
  /** Folder that survives an interruption. */
  readonly checkpoint: string;
  /** `done` of `total` rows are scored; throws if the stage is to stop. */
  report(done: number, total: number, values?: Readonly<Record<string, number>>): void;
  /** A line for the log of the stage. */
  log(line: string): void;
  /** Keeps what was asked and answered, with its items by task. */
  record(record: EvaluationRecord, samples: ReadonlyMap<string, readonly Sample[]>): void;
}

/** One way to measure a model. */
export interface EvaluationTask<Parameters extends { readonly task: string }> {
  /** The value of `task:` in the experiment file, where there is one that belongs to no other. */
  readonly name: string;
  readonly summary: string;
  /** A strict zod object with `task`. */
  readonly parameters: z.ZodObject;
  /** What names of metrics begin with; two entries of a stage must not share it. */
  nameOf(parameters: Parameters): string;
  /** Whether results depend on the seed of the cell; they do not if absent. */
  usesSeed?(parameters: Parameters): boolean;
  /** Mistakes that the schema does not see, with paths relative to the parameters. */
  check?(parameters: Parameters): readonly { readonly path: string; readonly message: string }[];
  /** Data read by the task; paths are relative to its parameters. */
  sources(parameters: Parameters): readonly Source[];
  /** The allocations of `run`, made on a device that only counts and freed again. */
  rehearse(model: LanguageModel, batchSize: number, parameters: Parameters): void;
  run(
    environment: EvaluationEnvironment,
    parameters: Parameters,
  ): Promise<Readonly<Record<string, Metric>>>;
}
