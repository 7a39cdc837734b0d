/**
 * From the `data: { rows: ... }` of a stage to its examples.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { BadRow, type Fields } from "../importers/bad_row.ts";
import type { Importer } from "../importers/importer.ts";
import { importerFor } from "../importers/registry.ts";
import type { Sample } from "../importers/sample.ts";
import { ChatTemplate } from "../templates/chat_template.ts";
import { JinjaTemplate, TemplateError } from "../templates/jinja.ts";
import { readText, type ResolveReference } from "../text.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { encodeHalves, encodeMarked } from "./encode.ts";
import { loadRows, type RowReading } from "./load_rows.ts";
import { type Marking, markSample } from "./mark_sample.ts";
import type { RowExamples } from "./row_examples.ts";
import type { RowsData } from "./rows_data.ts";

/** What decides the tokens of rows besides the data. */
export interface RowsContext {
  readonly tokenizer: Tokenizer;
  /** Tokens of the longest row. */
  readonly length: number;
  /** Where the model's chat template is; null where there is no model. */
  readonly folder: string | null;
}

/**
 * Reads, formats and tokenizes rows.
 *
 * @throws {UserError} If a file cannot be read, the columns are of no known format, the model has no
 * chat template and the rows are conversations, or as `loadRows`.
 */
export async function loadRowsData(
  data: RowsData,
  context: RowsContext,
  resolve: ResolveReference,
): Promise<RowExamples> {
  const chat = await chatTemplates(data, context, resolve);
  let instructions = "alpaca";
  const reading: RowReading = {
    references: data.rows,
    table: data.table === "auto" ? undefined : data.table,
    columns: data.columns,
    importer: (columns) => {
      if (data.completion !== undefined) return templateImporter(data.prompt, data.completion);
      const importer: Importer = importerFor(data.format, columns);
      instructions = importer.template ?? instructions;
      return importer;
    },
    encode: (sample) => {
      const { template, learn } = data;
      return encodeSample(sample, { template, learn, instructions, chat }, data, context);
    },
    onBadRow: data.on_bad_row,
    onLongRow: data.on_long_row,
    room: roomOf(data),
    limit: data.limit,
  };
  return await loadRows(reading, context.length, resolve);
}

/** Undefined where only the length of rows decides. */
function roomOf({ prompt_length: prompt, completion_length: completion }: RowsData) {
  const parts = [
    ...prompt === undefined ? [] : [`${prompt} tokens of prompt`],
    ...completion === undefined ? [] : [`${completion} tokens of completion`],
  ];
  return parts.length === 0 ? undefined : parts.join(" and ");
}

function encodeSample(
  sample: Sample,
  marking: Marking,
  data: RowsData,
  { tokenizer, length }: RowsContext,
): ReturnType<RowReading["encode"]> {
  const { prompt_length: prompt, completion_length: completion } = data;
  const { marked, halves } = markSample(sample, marking);
  if (halves === null || (prompt === undefined && completion === undefined)) {
    const example = encodeMarked(marked, tokenizer, data.eos);
    return { example, tokens: example.tokens.length };
  }
  return encodeHalves(halves, tokenizer, data.eos, {
    prompt: prompt ?? length,
    completion: completion ?? length,
  });
}

/** Opens the chat template when a row first needs it. */
async function chatTemplates(
  { template }: RowsData,
  { folder }: RowsContext,
  resolve: ResolveReference,
): Promise<() => ChatTemplate> {
  const own = typeof template === "object" ? template : null;
  const file = own !== null && "file" in own ? (await resolve(own.file))[0] : undefined;
  const source = own !== null && "chat" in own
    ? own.chat
    : file === undefined
    ? undefined
    : await readText(file);
  const name = own === null ? undefined : file ?? "template.chat";
  let opened: ChatTemplate | null = null;
  return () => {
    if (opened !== null) return opened;
    if (folder === null) throw new UserError("Conversations need a model with a chat template");
    opened = ChatTemplate.open(folder, source, name);
    return opened;
  };
}

/** Prompts and completions as the user's own templates word them. */
function templateImporter(
  prompt: string | undefined,
  completion: string,
): Pick<Importer, "samples"> {
  const read = new JinjaTemplate(prompt ?? "");
  const learned = new JinjaTemplate(completion);
  return {
    samples: (fields) => [{
      kind: "completion",
      prompt: rendered(read, fields, "prompt"),
      completion: rendered(learned, fields, "completion"),
    }],
  };
}

function rendered(template: JinjaTemplate, fields: Fields, name: string): string {
  const missing = new Set<string>();
  try {
    const text = template.render({ ...fields, row: fields }, (field) => missing.add(field));
    if (missing.size === 0) return text;
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    if (missing.size === 0) throw new BadRow(`the template of the ${name} fails: ${error.message}`);
  }
  throw new BadRow(
    `the template of the ${name} reads ${[...missing].join(", ")}, but the row has only ${
      Object.keys(fields).join(", ") || "no fields"
    }`,
  );
}
