/**
 * The `data:` of a stage that reads rows of tables, whatever their format and columns.
 *
 * @module
 */

import { z } from "zod";
import { IMPORTERS } from "../importers/registry.ts";
import { TABLE_FORMATS } from "../tables/registry.ts";
import { INSTRUCTION_TEMPLATES } from "../templates/instruction_templates.ts";
import { JinjaTemplate, TemplateError } from "../templates/jinja.ts";
import { REFERENCES, type References } from "../text.ts";
import type { OnBadRow, OnLongRow } from "./row_faults.ts";

/** How a sample becomes a text. */
export type RowTemplate = string | { readonly chat: string } | { readonly file: string };

/** Parameters of data that is rows of tables. */
export interface RowsData {
  /** The files. */
  readonly rows: References;
  /** Name of a table format, or "auto". */
  readonly table: string;
  /** Name of an importer, or "auto". */
  readonly format: string;
  /** What the columns of the format are called in the files. */
  readonly columns?: Readonly<Record<string, string>> | undefined;
  /** Jinja template of what is read, instead of a format. */
  readonly prompt?: string | undefined;
  /** Jinja template of what is learned. */
  readonly completion?: string | undefined;
  /** How a sample becomes a text. */
  readonly template?: RowTemplate | undefined;
  /** Which part of a sample is learned. */
  readonly learn: "completions" | "last" | "all";
  /** Whether what is learned ends with a token that says so. */
  readonly eos: boolean;
  /** Longest prompt, cut on its own. */
  readonly prompt_length?: number | undefined;
  /** Longest completion, cut on its own. */
  readonly completion_length?: number | undefined;
  /** Reads no more examples than this. */
  readonly limit?: number | undefined;
  readonly on_bad_row: OnBadRow;
  readonly on_long_row: OnLongRow;
}

const JINJA = z.string().min(1).superRefine((source, context) => {
  try {
    new JinjaTemplate(source);
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    context.addIssue({ code: "custom", message: `not a Jinja template (${error.message})` });
  }
});

const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name);

const TEMPLATE = z.union([
  z.enum(["chat", ...names(INSTRUCTION_TEMPLATES)]),
  z.strictObject({ chat: JINJA.describe("A chat template, in Jinja") }),
  z.strictObject({ file: z.string().min(1).describe("A file with a chat template, in Jinja") }),
]);

/** Schema of {@linkcode RowsData}. */
export const ROWS_DATA: z.ZodType<RowsData> = z.strictObject({
  rows: REFERENCES.describe(
    "Tables: a path, a glob, npm:name/glob, hf:org/name, or a list of these; " +
      `${TABLE_FORMATS.flatMap(({ endings }) => endings).join(", ")}, also with .gz, .bz2 or .zst`,
  ),
  table: z.enum(["auto", ...names(TABLE_FORMATS)]).default("auto").describe(
    "How the files are written; by default what the endings of their names say",
  ),
  format: z.enum(["auto", ...names(IMPORTERS)]).default("auto").describe(
    "What the columns mean; by default what the columns of the first row say. " +
      IMPORTERS.map(({ name, summary }) => `${name}: ${summary}`).join("; "),
  ),
  columns: z.record(z.string(), z.string().min(1)).optional().describe(
    "Columns of the format by what they are called in the files ({ prompt: question })",
  ),
  prompt: JINJA.optional().describe(
    "What is read, as a Jinja template over the columns; instead of a format. A column that a row " +
      "may lack is row.name",
  ),
  completion: JINJA.optional().describe("What is learned, as a Jinja template over the columns"),
  template: TEMPLATE.optional().describe(
    "How a row becomes a text. chat: the chat template of the model, which conversations have by " +
      "default; { chat: ... } or { file: ... }: another one; for instructions: " +
      INSTRUCTION_TEMPLATES.map(({ name, summary }) => `${name} (${summary})`).join(", "),
  ),
  learn: z.enum(["completions", "last", "all"]).default("completions").describe(
    "What is learned: completions and every turn of the assistant; only its last turn; or the " +
      "whole text",
  ),
  eos: z.boolean().default(true).describe(
    "Whether what is learned ends with EOS or with the token that ends a turn in the chat template; " +
      "rows without such an end are bad",
  ),
  prompt_length: z.int().min(1).optional().describe(
    "Tokens of the longest prompt. With this or completion_length, both are tokenized and cut on " +
      "their own, as QLoRA's code does (source_max_len, target_max_len)",
  ),
  completion_length: z.int().min(1).optional().describe("Tokens of the longest completion"),
  limit: z.int().min(1).optional().describe("Reads only the first rows, as many as this"),
  on_bad_row: z.enum(["error", "skip"]).default("error").describe(
    "What to do with a row that cannot be read or has nothing to learn",
  ),
  on_long_row: z.enum(["cut", "skip", "error"]).default("cut").describe(
    "What to do with a row of more tokens than length",
  ),
}).superRefine((data, context) => {
  const issue = (path: string, message: string) =>
    context.addIssue({ code: "custom", path: [path], message });
  const { prompt, completion, template, learn } = data;
  if (prompt !== undefined && completion === undefined) {
    issue("prompt", "a prompt needs a completion: say what is learned");
  }
  if (completion !== undefined && data.format !== "auto") {
    issue("format", "prompt and completion say what the columns mean; leave format out");
  }
  if (completion !== undefined && data.columns !== undefined) {
    issue("columns", "prompt and completion name the columns themselves; leave columns out");
  }
  for (const key of ["prompt_length", "completion_length"] as const) {
    if (data[key] === undefined) continue;
    if (isChat(template)) issue(key, "a chat template makes one text, whose parts have no lengths");
    if (learn === "all") issue(key, "learn: all makes one text, whose parts have no lengths");
  }
});

/** Whether a template is one of conversations. */
export function isChat(template: RowTemplate | undefined): boolean {
  return template === "chat" || typeof template === "object";
}
