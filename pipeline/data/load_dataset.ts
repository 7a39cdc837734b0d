/**
 * From the `data:` of a stage to a dataset.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Dataset } from "./dataset.ts";
import { JSONL_DATA, type JsonlData, PromptCompletions } from "./prompt_completions.ts";
import { type ResolveReference, TEXT_DATA, type TextData, tokenizeDocuments } from "./text.ts";
import { concatenate, TextWindows } from "./text_windows.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** The `data:` of a stage that trains. */
export type TrainingData = TextData | JsonlData;

/** Schema of {@linkcode TrainingData}. */
export const TRAINING_DATA: z.ZodType<TrainingData> = z.union([TEXT_DATA, JSONL_DATA]);

/**
 * Reads and tokenizes training data: text as {@linkcode TextWindows}, JSON lines as
 * {@linkcode PromptCompletions}.
 *
 * @param options.length Tokens of the longest row.
 * @throws {UserError} If the data cannot be read, is empty, or is shorter than one window.
 */
export async function loadDataset(
  data: TrainingData,
  tokenizer: Tokenizer,
  options: { readonly length: number },
  resolve: ResolveReference,
): Promise<Dataset> {
  if ("jsonl" in data) return PromptCompletions.load(data, tokenizer, options, resolve);
  const stream = concatenate(await tokenizeDocuments(data, tokenizer, resolve));
  const windows = new TextWindows(stream, options.length);
  if (windows.size === 0) {
    throw new UserError(
      `The text data ${[data.text].flat().join(", ")} has ${stream.length} tokens, less than one ` +
        `window of ${options.length}; set a smaller length or add text`,
    );
  }
  return windows;
}
