/**
 * Examples made of the rows of tables.
 *
 * @module
 */

import type { Dataset, Example } from "../dataset.ts";

/** An example, and the row that it was made of. */
export interface PlacedExample {
  readonly example: Example;
  /** "/data/train.jsonl:17". */
  readonly place: string;
}

/** One example per row, in the order of the files. */
export class RowExamples implements Dataset {
  /** Number of examples. */
  readonly size: number;
  /** Longest example allowed. */
  readonly length: number;
  /** Tokens in all examples together. */
  readonly tokens: number;
  /** Which rows were skipped or cut, where any were. */
  readonly remarks: readonly string[];
  readonly #rows: readonly PlacedExample[];

  /** Takes examples as they are. */
  constructor(rows: readonly PlacedExample[], length: number, remarks: readonly string[]) {
    this.size = rows.length;
    this.length = length;
    this.tokens = rows.reduce((sum, { example }) => sum + example.tokens.length, 0);
    this.remarks = remarks;
    this.#rows = rows;
  }

  /**
   * Example `index`.
   *
   * @throws {RangeError} If there is no such example.
   */
  example(index: number): Example {
    return this.#row(index).example;
  }

  /** Where the row of example `index` stands; throws as {@linkcode RowExamples.example}. */
  place(index: number): string {
    return this.#row(index).place;
  }

  #row(index: number): PlacedExample {
    const row = this.#rows[index];
    if (row !== undefined) return row;
    throw new RangeError(`There is no row ${index}: the data has ${this.size}`);
  }
}
