/**
 * Datasets as the field's evaluation scripts see them: rows with a column of text.
 *
 * A plain text file stands for the dataset that the Hugging Face Hub makes of it: every line is a row.
 *
 * @module
 */

import { z } from "zod";
import type { DataReference } from "../../data/data_sources.ts";
import { compressionOf, readAllBytes } from "../../data/tables/compression.ts";
import { readTable } from "../../data/tables/read_table.ts";
import { TABLE_FORMATS } from "../../data/tables/registry.ts";
import type { Row } from "../../data/tables/row.ts";
import { REFERENCES, type References, type ResolveReference } from "../../data/text.ts";
import { UserError } from "../../errors.ts";

/** The `data:` of a protocol that reads rows. */
export interface RowData {
  /** The files: tables (JSON lines, JSON, CSV, Parquet), or plain text. */
  readonly rows: References;
  /** The column of text in tables; absent for that of the protocol. */
  readonly column?: string | undefined;
  /** What becomes of rows without text in that column. */
  readonly on_bad_row: "error" | "skip";
}

/** Schema of {@linkcode RowData}. */
export const ROW_DATA: z.ZodType<RowData> = z.strictObject({
  rows: REFERENCES.describe(
    "Files of rows: JSON lines, JSON, CSV or Parquet by their endings, else plain text with a row in " +
      "each line",
  ),
  column: z.string().min(1).optional()
    .describe("Column of text in tables. Default: text; sentence of ptb, page of lm_eval"),
  on_bad_row: z.enum(["error", "skip"]).default("error")
    .describe("Rows of tables without text in that column: an error, or left out and counted"),
});

/** The files of a dataset that stands at `path` of a stage's parameters. */
export function rowSources({ rows }: RowData, path: string): DataReference[] {
  return [rows].flat().map((reference, index) => ({
    reference,
    path: typeof rows === "string" ? `${path}.rows` : `${path}.rows.${index}`,
  }));
}

/** The texts of a dataset. */
export interface Texts {
  /** In the order of the files. */
  readonly texts: readonly string[];
  /** Rows without text that were left out. */
  readonly skipped: number;
  /** Whether they are lines of plain text. */
  readonly plain: boolean;
}

/**
 * Reads the texts of a dataset. Lines of plain text end with their newline, as far as the file has it.
 *
 * @param column The column of text, unless the data says another.
 * @throws {UserError} If a file cannot be read, there is no row, or a row has no text and may not be
 * skipped; the message begins with file and line.
 */
export async function readTexts(
  data: RowData,
  column: string,
  resolve: ResolveReference,
): Promise<Texts> {
  const texts: string[] = [];
  let skipped = 0;
  let plain = true;
  const onBadRow = (place: string, message: string) => {
    if (data.on_bad_row === "error") throw new UserError(`${place}: ${message}`);
    skipped++;
  };
  const references = [data.rows].flat();
  for (const reference of references) {
    for (const path of await resolve(reference)) {
      const before = texts.length + skipped;
      if (isTable(path)) {
        plain = false;
        for await (const row of readTable(path, { onBadRow })) {
          const text = row.fields[data.column ?? column];
          if (typeof text === "string") texts.push(text);
          else onBadRow(row.place, withoutText(row, data.column ?? column));
        }
      } else {
        for (const line of await plainLines(path)) texts.push(line);
      }
      if (texts.length + skipped === before) {
        throw new UserError(`${path} is empty: there is no row to score`);
      }
    }
  }
  if (texts.length === 0) {
    throw new UserError(
      `The data ${
        references.join(", ")
      } has nothing to score: all of its ${skipped} rows were skipped`,
    );
  }
  return { texts, skipped, plain };
}

function isTable(path: string): boolean {
  const plain = path.slice(0, path.length - compressionOf(path).length).toLowerCase();
  return TABLE_FORMATS.some(({ endings }) => endings.some((ending) => plain.endsWith(ending)));
}

/** Lines with the newlines that end them. */
async function plainLines(path: string): Promise<string[]> {
  const bytes = await readAllBytes(path);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return text === "" ? [] : text.split(/(?<=\n)/);
  } catch {
    throw new UserError(`${path}: not UTF-8 text; convert it, or name another file`);
  }
}

function withoutText({ fields }: Row, column: string): string {
  const found = column in fields
    ? `column "${column}" is ${JSON.stringify(fields[column])}, not a text`
    : `there is no column "${column}" among ${Object.keys(fields).join(", ")}`;
  return `${found}; name the column with data.column, or set data.on_bad_row: skip`;
}
