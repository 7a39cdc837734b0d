/**
 * Reading a file of rows, whatever its format.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { compressionOf } from "./compression.ts";
import { TABLE_FORMATS } from "./registry.ts";
import type { Row } from "./row.ts";
import type { TableFormat } from "./table_format.ts";

/** How to read a table. */
export interface ReadTableOptions {
  /**
   * Name of a format ("jsonl").
   *
   * @default what the ending of the file's name says
   */
  readonly format?: string;
  /**
   * Called for every row that cannot be read (a line that is not JSON, too few columns), with its
   * place and the reason; the row is then left out.
   *
   * @default throws the mistake
   */
  readonly onBadRow?: (place: string, message: string) => void;
}

/**
 * The rows of a table in the order of the file. JSON lines, JSON, CSV, TSV and Parquet are told apart
 * by the ending of the name, under `.gz`, `.bz2` and `.zst` as well; a `.json` that holds JSON lines,
 * as many do, is read as such.
 *
 * @throws {UserError} If the file cannot be read as a whole, or a row cannot and there is no
 * `onBadRow`; the message begins with the place.
 *
 * @example
 * ```ts
 * import { readTable } from "./read_table.ts";
 *
 * const path = await Deno.makeTempFile({ suffix: ".csv" });
 * await Deno.writeTextFile(path, 'question,answer\n"1 + 1?",2\n');
 * for await (const { fields, place } of readTable(path)) {
 *   if (fields.question !== "1 + 1?" || place !== `${path}:2`) throw new Error("one row");
 * }
 * await Deno.remove(path);
 * ```
 */
export async function* readTable(
  path: string,
  options: ReadTableOptions = {},
): AsyncGenerator<Row> {
  const { onBadRow } = options;
  let isEmpty = true;
  const rows = formatOf(path, options.format).read({
    path,
    refuse(place, message) {
      isEmpty = false;
      if (onBadRow === undefined) throw new UserError(`${place}: ${message}`);
      onBadRow(place, message);
    },
  });
  for await (const row of rows) {
    isEmpty = false;
    yield row;
  }
  if (isEmpty) throw new UserError(`${path} is empty: there is no row in it`);
}

function formatOf(path: string, name: string | undefined): TableFormat {
  const plain = path.slice(0, path.length - compressionOf(path).length).toLowerCase();
  const format = TABLE_FORMATS.find((candidate) =>
    name === undefined
      ? candidate.endings.some((ending) => plain.endsWith(ending))
      : candidate.name === name
  );
  if (format !== undefined) return format;
  if (name !== undefined) {
    throw new UserError(
      `There is no table format "${name}"; wanted one of ${
        TABLE_FORMATS.map((each) => each.name).join(", ")
      }`,
    );
  }
  throw new UserError(
    `${path}: the ending of the name is of no known table; wanted ${
      TABLE_FORMATS.flatMap(({ endings }) => endings).join(", ")
    }, and .gz, .bz2 or .zst after it`,
  );
}
