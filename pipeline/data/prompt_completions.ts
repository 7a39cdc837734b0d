/**
 * Instruction data: JSON lines with a prompt, which is read, and a completion, which is learned.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Dataset, Example } from "./dataset.ts";
import { readText, REFERENCES, type References, type ResolveReference, withEnd } from "./text.ts";
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
 */
export class PromptCompletions implements Dataset {
  /** Number of rows. */
  readonly size: number;
  /** Longest row allowed. */
  readonly length: number;
  /** Tokens in all rows together. */
  readonly tokens: number;
  /** How many rows were skipped or cut, where any were. */
  readonly remarks: readonly string[];
  readonly #examples: readonly Example[];

  private constructor(examples: readonly Example[], length: number, remarks: readonly string[]) {
    this.size = examples.length;
    this.length = length;
    this.tokens = examples.reduce((sum, { tokens }) => sum + tokens.length, 0);
    this.remarks = remarks;
    this.#examples = examples;
  }

  /**
   * Reads and tokenizes all rows; empty lines are none.
   *
   * @param options.length Tokens of the longest row.
   * @throws {UserError} If a file cannot be read, a row is bad and `on_bad_row` is "error", no row is
   * left, or EOS is wanted and the tokenizer names none.
   */
  static async load(
    data: JsonlData,
    tokenizer: Tokenizer,
    options: { readonly length: number },
    resolve: ResolveReference,
  ): Promise<PromptCompletions> {
    const { length } = options;
    if (data.eos && tokenizer.eosId === null) {
      throw new UserError(
        "Completions end with EOS, but the tokenizer_config.json of the model names no " +
          "eos_token; set eos: false",
      );
    }
    const examples: Example[] = [];
    let [skipped, cut] = [0, 0];
    const references = [data.jsonl].flat();
    for (const reference of references) {
      for (const path of await resolve(reference)) {
        for (const [index, line] of (await readText(path)).split("\n").entries()) {
          if (line.trim() === "") continue;
          try {
            const { prompt, completion } = parseRow(line, data);
            const row = encodeRow(prompt, completion, tokenizer, data.eos);
            examples.push(cutRow(row, length));
            if (row.tokens.length > length) cut++;
          } catch (error) {
            if (!(error instanceof BadRow)) throw error;
            if (data.on_bad_row === "error") {
              throw new UserError(
                `${path}:${index + 1}: ${error.message}; correct it, or set on_bad_row: skip`,
              );
            }
            skipped++;
          }
        }
      }
    }
    const rows = examples.length + skipped;
    if (examples.length === 0) {
      throw new UserError(
        `The data ${references.join(", ")} has nothing to train on: ` +
          (rows === 0 ? "it has no rows" : `all of its ${rows} rows were skipped`),
      );
    }
    const remarks = [
      ...skipped > 0 ? [`${skipped} of ${rows} rows were skipped`] : [],
      ...cut > 0 ? [`${cut} of ${rows} rows were cut to ${length} tokens`] : [],
    ];
    return new PromptCompletions(examples, length, remarks);
  }

  /**
   * Row `index`, in the order of the files.
   *
   * @throws {RangeError} If there is no such row.
   */
  example(index: number): Example {
    const example = this.#examples[index];
    if (example === undefined) {
      throw new RangeError(`There is no row ${index}: the data has ${this.size}`);
    }
    return example;
  }
}

/** Why a row cannot be learned from. */
class BadRow extends Error {}

/** Prompt and completion of a line; the prompt of a row with only a "text" is empty. */
function parseRow(line: string, data: JsonlData): { prompt: string; completion: string } {
  let row: unknown;
  try {
    row = JSON.parse(line);
  } catch (error) {
    throw new BadRow(`not JSON (${error instanceof Error ? error.message : error})`);
  }
  if (typeof row !== "object" || row === null || Array.isArray(row)) {
    throw new BadRow("the row is not a JSON object");
  }
  const fields = row as Record<string, unknown>;
  if (!Object.hasOwn(fields, data.completion_field) && Object.hasOwn(fields, "text")) {
    return { prompt: "", completion: textOf(fields, "text") };
  }
  const prompt = data.template?.replaceAll(TEMPLATE_FIELD, (_, name) => textOf(fields, name)) ??
    textOf(fields, data.prompt_field);
  return { prompt, completion: textOf(fields, data.completion_field) };
}

function textOf(fields: Record<string, unknown>, name: string): string {
  if (!Object.hasOwn(fields, name)) {
    throw new BadRow(
      `the row has no field "${name}", only ${Object.keys(fields).join(", ") || "none"}`,
    );
  }
  const value = fields[name];
  if (typeof value !== "string") {
    throw new BadRow(`the field "${name}" is ${JSON.stringify(value)}; wanted a text`);
  }
  return value;
}

function encodeRow(
  prompt: string,
  completion: string,
  tokenizer: Tokenizer,
  eos: boolean,
): Example {
  if (completion === "") throw new BadRow("the completion is empty: there is nothing to learn");
  const ids = tokenizer.encode(prompt + completion);
  const tokens = eos && tokenizer.eosId !== null ? withEnd(ids, tokenizer.eosId) : ids;
  const promptIds = tokenizer.encode(prompt);
  const differing = promptIds.findIndex((id, index) => id !== tokens[index]);
  const start = differing === -1 ? promptIds.length : differing;
  return { tokens, targets: new Uint8Array(tokens.length).fill(1, Math.max(1, start)) };
}

function cutRow({ tokens, targets }: Example, length: number): Example {
  const kept = targets.subarray(0, length);
  if (!kept.includes(1)) {
    throw new BadRow(
      targets.includes(1)
        ? `the prompt takes all ${length} tokens of a row: there is nothing to learn`
        : "the row is a single token: there is nothing to learn",
    );
  }
  return { tokens: tokens.subarray(0, length), targets: kept };
}
