/**
 * Reading rows of tables as examples: every row is used, or counted with its place, or an error.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Example } from "../dataset.ts";
import { BadRow, type Fields } from "../importers/bad_row.ts";
import type { Importer } from "../importers/importer.ts";
import type { Sample } from "../importers/sample.ts";
import { readTable } from "../tables/read_table.ts";
import type { Row } from "../tables/row.ts";
import type { References, ResolveReference } from "../text.ts";
import { cutExample } from "./encode.ts";
import { refuseFolder } from "./refuse_folder.ts";
import { type PlacedExample, RowExamples } from "./row_examples.ts";
import { type OnBadRow, type OnLongRow, RowFaults } from "./row_faults.ts";

/** What to read, and what to make of it. */
export interface RowReading {
  readonly references: References;
  /** Name of a table format; absent for what the names of the files say. */
  readonly table?: string | undefined;
  /** What the columns of the importer are called in the files. */
  readonly columns?: Readonly<Record<string, string>> | undefined;
  /** What the columns mean, decided by those of the first row. */
  readonly importer: (columns: readonly string[]) => Pick<Importer, "samples" | "gather">;
  /**
   * The example of a sample, and how many tokens it had before parts of it were cut.
   *
   * @throws {BadRow} If there is nothing to learn in it.
   */
  readonly encode: (sample: Sample) => { readonly example: Example; readonly tokens: number };
  readonly onBadRow: OnBadRow;
  readonly onLongRow: OnLongRow;
  /** What a row may hold besides `length` ("384 tokens of prompt"), for messages. */
  readonly room?: string | undefined;
  /** Reads no more examples than this. */
  readonly limit?: number | undefined;
}

/**
 * Reads all examples.
 *
 * @param length Tokens of the longest one.
 * @throws {UserError} If a file cannot be read, a row is bad or too long and that is an error, or no
 * example is left.
 */
export async function loadRows(
  reading: RowReading,
  length: number,
  resolve: ResolveReference,
): Promise<RowExamples> {
  const { onBadRow, onLongRow, limit = Infinity } = reading;
  const room = reading.room ?? `${length} tokens`;
  const faults = new RowFaults({ onBadRow, onLongRow, room });
  const examples: PlacedExample[] = [];
  for await (const { sample, place } of samplesOf(reading, faults, resolve)) {
    try {
      const { example, tokens } = reading.encode(sample);
      const isLong = tokens > Math.min(length, example.tokens.length);
      if (isLong && !faults.cutsLongRows) {
        faults.long(place, tokens);
        continue;
      }
      examples.push({ example: cutExample(example, length), place });
      if (isLong) faults.long(place, tokens);
    } catch (error) {
      if (!(error instanceof BadRow)) throw error;
      faults.bad(place, error.message);
    }
    if (examples.length >= limit) break;
  }
  const rows = examples.length + faults.skipped;
  const remarks = faults.remarks(rows);
  if (examples.length === 0) {
    throw new UserError(
      `The data ${[reading.references].flat().join(", ")} has nothing to train on: ${
        rows === 0
          ? "it has no rows"
          : `all of its ${rows} rows were skipped; ${remarks.join("; ")}`
      }`,
    );
  }
  return new RowExamples(examples, length, remarks);
}

/** Columns by the names that the importer knows. */
function renamed(
  fields: Fields,
  columns: Readonly<Record<string, string>> | undefined,
): Fields {
  if (columns === undefined) return fields;
  const found = Object.entries(columns).filter(([, name]) => Object.hasOwn(fields, name));
  return {
    ...fields,
    ...Object.fromEntries(found.map(([wanted, name]) => [wanted, fields[name]])),
  };
}

interface PlacedSample {
  readonly sample: Sample;
  readonly place: string;
}

async function* samplesOf(
  reading: RowReading,
  faults: RowFaults,
  resolve: ResolveReference,
): AsyncGenerator<PlacedSample> {
  const refuse = (place: string, reason: string) => faults.bad(place, reason);
  const rows = readRows(reading, faults, resolve);
  try {
    const first = await rows.next();
    if (first.done) return;
    const importer = reading.importer(Object.keys(first.value.fields));
    const all = withFirst(first.value, rows);
    for await (const { fields, place } of importer.gather?.(all, refuse) ?? all) {
      let samples: readonly Sample[];
      try {
        samples = importer.samples(fields);
      } catch (error) {
        if (!(error instanceof BadRow)) throw error;
        refuse(place, error.message);
        continue;
      }
      for (const sample of samples) yield { sample, place };
    }
  } finally {
    // Closes the file if not all rows are wanted.
    await rows.return(undefined);
  }
}

async function* readRows(
  { references, table, columns }: RowReading,
  faults: RowFaults,
  resolve: ResolveReference,
): AsyncGenerator<Row> {
  for (const reference of [references].flat()) {
    for (const path of await resolve(reference)) {
      refuseFolder(path, reference);
      const rows = readTable(path, {
        ...(table === undefined ? {} : { format: table }),
        onBadRow: (place, reason) => faults.bad(place, reason),
      });
      for await (const { fields, place } of rows) yield { fields: renamed(fields, columns), place };
    }
  }
}

async function* withFirst(first: Row, rest: AsyncIterable<Row>): AsyncGenerator<Row> {
  yield first;
  yield* rest;
}
