/**
 * The `data:` of a stage that reads prompts and completions from JSON lines.
 *
 * @module
 */

import { z } from "zod";
import { encodeMarked } from "./examples/encode.ts";
import { loadRows } from "./examples/load_rows.ts";
import { markSample } from "./examples/mark_sample.ts";
import type { RowExamples } from "./examples/row_examples.ts";
import { type Fields, textOf } from "./importers/bad_row.ts";
import type { Sample } from "./importers/sample.ts";
import { REFERENCES, type References, type ResolveReference } from "./text.ts";
import type { Tokenizer } from "./tokenizer.ts";

const TEMPLATE_FIELD = /\{(\w+)\}/g;

/** The `data:` of a stage that reads prompts and completions. */
export interface JsonlData {
  /** The files. */
  readonly jsonl: References;
  /** Name of the prompt in a row. */
  readonly prompt_field: string;
  /** Name of the completion in a row. */
  readonly completion_field: string;
  /** Text of the prompt with `{field}` where a row's field goes. */
  readonly template?: string | undefined;
  /** Whether every completion ends with EOS. */
  readonly eos: boolean;
  /** What to do with a row that cannot be read or has nothing to learn. */
  readonly on_bad_row: "error" | "skip";
}

/** Schema of {@linkcode JsonlData}. */
export const JSONL_DATA: z.ZodType<JsonlData> = z.strictObject({
  jsonl: REFERENCES.describe(
    'Files of JSON lines: {"prompt", "completion"}, or {"text"}, which is learned whole',
  ),
  prompt_field: z.string().min(1).default("prompt").describe("Name of the prompt in a row"),
  completion_field: z.string().min(1).default("completion").describe(
    "Name of the completion in a row",
  ),
  template: z.string().regex(/\{\w+\}/, "wanted a text with {field} where a row's field goes")
    .optional().describe(
      "Text of the prompt, with {field} where a row's field goes; instead of prompt_field",
    ),
  eos: z.boolean().default(true).describe("Whether every completion ends with the EOS token"),
  on_bad_row: z.enum(["error", "skip"]).default("error").describe(
    "What to do with a row that cannot be read or has nothing to learn",
  ),
});

/**
 * One row per example. Prompt and completion are tokenized as one text; the completion's tokens are
 * those from the first that differs from the prompt tokenized alone. A row longer than `length` is
 * cut at its end.
 *
 * @param length Tokens of the longest row.
 * @throws {UserError} If a file cannot be read, a row is bad and `on_bad_row` is "error", no row is
 * left, or EOS is wanted and the tokenizer names none.
 */
export function loadPromptCompletions(
  data: JsonlData,
  tokenizer: Tokenizer,
  length: number,
  resolve: ResolveReference,
  limit?: number,
): Promise<RowExamples> {
  const marking = {
    template: undefined,
    learn: "completions",
    instructions: "alpaca",
    chat: () => {
      throw new RangeError("JSON lines hold no conversations");
    },
  } as const;
  return loadRows(
    {
      references: data.jsonl,
      table: "jsonl",
      importer: () => ({ samples: (fields) => [sampleOf(fields, data)] }),
      encode: (sample) => {
        const example = encodeMarked(markSample(sample, marking).marked, tokenizer, data.eos);
        return { example, tokens: example.tokens.length };
      },
      onBadRow: data.on_bad_row,
      onLongRow: "cut",
      limit,
    },
    length,
    resolve,
  );
}

/** A row with only a "text" is learned whole. */
function sampleOf(fields: Fields, data: JsonlData): Sample {
  if (!Object.hasOwn(fields, data.completion_field) && Object.hasOwn(fields, "text")) {
    return { kind: "text", text: textOf(fields, "text") };
  }
  const prompt = data.template?.replaceAll(TEMPLATE_FIELD, (_, name) => textOf(fields, name)) ??
    textOf(fields, data.prompt_field);
  return { kind: "completion", prompt, completion: textOf(fields, data.completion_field) };
}
