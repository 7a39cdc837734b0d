/**
 * From the `data:` of a stage to a dataset.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import { loadRowsData } from "./examples/load_rows_data.ts";
import { ROWS_DATA, type RowsData } from "./examples/rows_data.ts";
import { JSONL_DATA, type JsonlData, loadPromptCompletions } from "./prompt_completions.ts";
import { type ResolveReference, TEXT_DATA, type TextData, tokenizeDocuments } from "./text.ts";
import { concatenate, TextWindows } from "./text_windows.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The `data:` of a stage that trains. */
export type TrainingData = TextData | JsonlData | RowsData;

/** Schema of {@linkcode TrainingData}. */
export const TRAINING_DATA: z.ZodType<TrainingData> = z.union([TEXT_DATA, JSONL_DATA, ROWS_DATA]);

/** What decides a dataset besides its data. */
export interface DatasetOptions {
  /** Tokens of the longest row. */
  readonly length: number;
  /**
   * The model's folder: its chat template is there.
   *
   * @default null
   */
  readonly folder?: string | null;
  /**
   * Makes no more rows than this, where rows are read one by one.
   *
   * @default all
   */
  readonly limit?: number;
}

/**
 * Reads and tokenizes training data: text as {@linkcode TextWindows}, rows of tables as
 * {@linkcode RowExamples}.
 *
 * @throws {UserError} If the data cannot be read, is empty, or is shorter than one window.
 */
export async function loadDataset(
  data: TrainingData,
  tokenizer: Tokenizer,
  options: DatasetOptions,
  resolve: ResolveReference,
): Promise<Dataset> {
  const { length, folder = null, limit = Infinity } = options;
  if ("jsonl" in data) return await loadPromptCompletions(data, tokenizer, length, resolve, limit);
  if ("rows" in data) {
    const first = { ...data, limit: Math.min(data.limit ?? Infinity, limit) };
    return await loadRowsData(first, { tokenizer, length, folder }, resolve);
  }
  const stream = concatenate(await tokenizeDocuments(data, tokenizer, resolve));
  const windows = new TextWindows(stream, length);
  if (windows.size === 0) {
    throw new UserError(
      `The text data ${[data.text].flat().join(", ")} has ${stream.length} tokens, less than one ` +
        `window of ${length}; set a smaller length or add text`,
    );
  }
  return windows;
}
