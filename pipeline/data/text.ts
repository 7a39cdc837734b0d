/**
 * Text data: files, split into documents, each tokenized on its own.
 *
 * @module
 */

import { z } from "zod";
import { UserError } from "../errors.ts";
import { readAllBytes } from "./tables/compression.ts";
import { readTable } from "./tables/read_table.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { readWordTag } from "./word_tag.ts";

/** One reference to files (a path, a glob, `npm:name/glob`), or several. */
export type References = string | string[];

/** Schema of {@linkcode References}. */
export const REFERENCES: z.ZodType<References> = z.union([
  z.string().min(1),
  z.array(z.string().min(1)).min(1),
]);

const REGULAR_EXPRESSION = z.string().min(1).refine(isRegularExpression, {
  error: ({ input }) => `${JSON.stringify(input)} is not a regular expression of JavaScript`,
});

// A bare word is more likely a misspelt "lines" than a pattern to split at.
const DOCUMENTS = z.union([
  z.enum(["whole", "lines"]),
  REGULAR_EXPRESSION.regex(/\W/, 'wanted "whole", "lines" or a regular expression to split at'),
  z.strictObject({ split: REGULAR_EXPRESSION }),
]);

/** The `data:` of a stage that reads text. */
export interface TextData {
  /** The files. */
  readonly text: References;
  /** "whole", "lines" or a regular expression to split at. */
  readonly documents: string | { readonly split: string };
  /** Whether every document ends with EOS. */
  readonly eos: boolean;
  /** How the files are written. */
  readonly format: "plain" | "word_tag" | "table";
  /** The column of text in tables. */
  readonly column?: string | undefined;
  /** Reads no more documents than this. */
  readonly limit?: number | undefined;
}

/** Schema of {@linkcode TextData}. */
export const TEXT_DATA: z.ZodType<TextData> = z.strictObject({
  text: REFERENCES.describe(
    "Text files: a path, a glob, npm:name/glob, or a list of these; also with .gz, .bz2 or .zst",
  ),
  documents: DOCUMENTS.default("whole").describe(
    'What a document is: a "whole" file, each of its "lines", or what stands between the matches ' +
      "of a regular expression (flags g, m, u; write { split: word } for one of letters only)",
  ),
  eos: z.boolean().default(false).describe("Whether every document ends with the EOS token"),
  format: z.enum(["plain", "word_tag", "table"]).default("plain").describe(
    '"word_tag" reads word/tag tokens (Brown corpus) as text; "table" reads a column of JSON lines, ' +
      "JSON, CSV or Parquet, each row a file of its own",
  ),
  column: z.string().min(1).optional().describe('The column of text in tables; "text" if absent'),
  limit: z.int().positive().optional()
    .describe("Reads only the first documents, as many as this"),
}).refine(({ column, format }) => column === undefined || format === "table", {
  message: "column belongs to format: table",
  path: ["column"],
});

/** Finds the files of a reference: their absolute paths, in order. */
export type ResolveReference = (reference: string) => Promise<readonly string[]>;

/**
 * The documents of a text source, in order; those without any character but white space are left
 * out.
 *
 * @throws {UserError} If a file cannot be read or is not UTF-8, or no document is left.
 */
export async function readDocuments(
  data: TextData,
  resolve: ResolveReference,
): Promise<string[]> {
  const documents: string[] = [];
  const references = [data.text].flat();
  for await (const text of readTexts(data, references, resolve)) {
    for (const document of splitText(text, data.documents)) {
      if (/\S/.test(document)) documents.push(document);
    }
    if (documents.length >= (data.limit ?? Infinity)) break;
  }
  if (documents.length === 0) {
    throw new UserError(
      `The text data ${references.join(", ")} is empty: there is no document with any text in it`,
    );
  }
  return documents.slice(0, data.limit);
}

/** The text of every file, or of every row of tables. */
async function* readTexts(
  { format, column = "text" }: TextData,
  references: readonly string[],
  resolve: ResolveReference,
): AsyncGenerator<string> {
  for (const reference of references) {
    for (const path of await resolve(reference)) {
      if (format !== "table") {
        const text = await readText(path);
        yield format === "word_tag" ? readWordTag(text) : text;
        continue;
      }
      for await (const { fields, place } of readTable(path)) {
        const text = fields[column];
        if (typeof text === "string") yield text;
        else {
          throw new UserError(
            `${place}: the column "${column}" is ${JSON.stringify(text) ?? "missing"}; wanted a ` +
              `text, in one of ${Object.keys(fields).join(", ")}`,
          );
        }
      }
    }
  }
}

/**
 * Ids of each document: what the tokenizer's own post-processor makes of it, then EOS if the data
 * asks for it.
 *
 * @throws {UserError} As {@linkcode readDocuments}, or if the data asks for EOS and the tokenizer
 * names none.
 */
export async function tokenizeDocuments(
  data: TextData,
  tokenizer: Tokenizer,
  resolve: ResolveReference,
): Promise<Uint32Array[]> {
  const { eosId } = tokenizer;
  if (data.eos && eosId === null) {
    throw new UserError(
      "The data says eos: true, but the tokenizer_config.json of the model names no eos_token; " +
        "set eos: false",
    );
  }
  const documents = await readDocuments(data, resolve);
  return documents.map((document) => {
    const ids = tokenizer.encode(document);
    return data.eos && eosId !== null ? withEnd(ids, eosId) : ids;
  });
}

/** Ids ended by `eosId`, once. */
export function withEnd(ids: Uint32Array, eosId: number): Uint32Array {
  if (ids.at(-1) === eosId) return ids;
  const ended = new Uint32Array(ids.length + 1);
  ended.set(ids);
  ended[ids.length] = eosId;
  return ended;
}

/**
 * Reads a UTF-8 file, decompressed if its name ends in `.gz`, `.bz2` or `.zst`; a byte order mark is
 * dropped.
 *
 * @throws {UserError} If it cannot be read or is not UTF-8.
 */
export async function readText(path: string): Promise<string> {
  const bytes = await readAllBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new UserError(`${path}: not UTF-8 text; convert it, or name another file`);
  }
}

function splitText(text: string, documents: TextData["documents"]): string[] {
  if (documents === "whole") return [text];
  if (documents === "lines") return text.split(/\r?\n/);
  // Not String.split(), which would also return what groups of the pattern match.
  const pattern = new RegExp(typeof documents === "string" ? documents : documents.split, "gmu");
  const parts: string[] = [];
  let start = 0;
  for (const match of text.matchAll(pattern)) {
    parts.push(text.slice(start, match.index));
    start = match.index + match[0].length;
  }
  parts.push(text.slice(start));
  return parts;
}

function isRegularExpression(source: string): boolean {
  try {
    new RegExp(source, "gmu");
    return true;
  } catch {
    return false;
  }
}
