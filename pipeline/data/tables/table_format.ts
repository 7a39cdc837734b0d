/**
 * What a format of tables is: one file in this folder, and a place in the registry.
 *
 * @module
 */

import type { Row } from "./row.ts";

/** A file of rows, as its format sees it. */
export interface TableFile {
  /** Absolute, or relative to the working folder. */
  readonly path: string;
  /**
   * Says that a row cannot be read. It throws, or it counts and returns: then the format goes on
   * with the next row.
   */
  refuse(place: string, message: string): void;
}

/** A way to write tables. */
export interface TableFormat {
  /** What an option calls it. */
  readonly name: string;
  /** Endings of file names (".jsonl"), in lower case. */
  readonly endings: readonly string[];
  /** The rows of a file, in its order. */
  read(file: TableFile): AsyncGenerator<Row>;
}
