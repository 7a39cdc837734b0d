/**
 * Comma- and tab-separated values under a header: quoted fields may hold separators, doubled quotes
 * and newlines (RFC 4180). All values are texts.
 *
 * @module
 */

import { Readable } from "node:stream";
import type { CsvError } from "csv-parse";
import { UserError } from "../../errors.ts";
import { readLines } from "./lines.ts";
import type { Row } from "./row.ts";
import type { TableFile, TableFormat } from "./table_format.ts";

/** Values separated by commas. */
export const csv: TableFormat = {
  name: "csv",
  endings: [".csv"],
  read: (file) => readSeparated(file, ","),
};

/** Values separated by tabs. */
export const tsv: TableFormat = {
  name: "tsv",
  endings: [".tsv"],
  read: (file) => readSeparated(file, "\t"),
};

/** A record, the header's as well, and the line that it begins in. */
interface SeparatedRecord {
  readonly values: readonly string[];
  readonly line: number;
}

async function* readSeparated(file: TableFile, delimiter: string): AsyncGenerator<Row> {
  const { path } = file;
  let header: readonly string[] | null = null;
  for await (const { values, line } of parseRecords(path, delimiter)) {
    const place = `${path}:${line}`;
    if (header === null) {
      header = checkHeader(values, place);
    } else if (values.length === header.length) {
      yield { fields: fieldsOf(header, values), place };
    } else {
      file.refuse(
        place,
        `the row has ${values.length} columns, but the header has ${header.length}`,
      );
    }
  }
}

async function* parseRecords(path: string, delimiter: string): AsyncGenerator<SeparatedRecord> {
  // Loaded where a file needs it: every worker would hold it otherwise.
  const { CsvError, parse } = await import("csv-parse");
  // Not csv-parse's count, which takes a carriage return in a quoted field for a line of its own.
  let nextLine = 1;
  const parser = parse({
    delimiter,
    record_delimiter: ["\r\n", "\n"],
    relax_column_count: true,
    raw: true,
    // Its types know neither what `raw` makes of records nor that they may become something else.
    on_record(parsed: unknown): never {
      const { record: values, raw } = parsed as { record: string[]; raw: string };
      const text = raw.replace(/\r?\n?$/, "");
      const line = nextLine;
      nextLine += text.split("\n").length;
      return (text === "" ? null : { values, line } satisfies SeparatedRecord) as never;
    },
  });
  const source = Readable.from(textOf(path));
  source.on("error", (error) => parser.destroy(error));
  try {
    yield* source.pipe(parser) as AsyncIterable<SeparatedRecord>;
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
    throw new UserError(`${path}:${nextLine}: ${faultOf(error)}`);
  } finally {
    // Closes the file if not all rows are wanted.
    source.destroy();
  }
}

async function* textOf(path: string): AsyncGenerator<string> {
  for await (const { text } of readLines(path)) yield `${text}\n`;
}

function checkHeader(names: readonly string[], place: string): readonly string[] {
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice === undefined) return names;
  throw new UserError(`${place}: the header names the column "${twice}" twice; rename one of them`);
}

function fieldsOf(
  header: readonly string[],
  record: readonly string[],
): Record<string, string | undefined> {
  return Object.fromEntries(header.map((name, index) => [name, record[index]]));
}

function faultOf({ code }: CsvError): string {
  if (code === "CSV_QUOTE_NOT_CLOSED") return "the row begins a quoted field that nothing ends";
  return "a quote stands inside of a field; put the field into quotes, and double those in it";
}
