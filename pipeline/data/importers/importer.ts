/**
 * What an importer is: one file in this folder, and a place in the registry.
 *
 * @module
 */

import type { Row } from "../tables/row.ts";
import type { Fields } from "./bad_row.ts";
import type { Sample } from "./sample.ts";

/** A dataset whose columns have a known meaning. */
export interface Importer {
  /** What `format:` calls it. */
  readonly name: string;
  /** One clause for the documentation: its columns. */
  readonly summary: string;
  /** A dataset is taken for this format if its first row has all these columns. */
  readonly columns: readonly string[];
  /** The template that instructions get if none is named. */
  readonly template?: string;
  /**
   * What a row has to teach; mostly one sample.
   *
   * @throws {BadRow} If there is nothing to learn in it.
   */
  samples(fields: Fields): readonly Sample[];
  /**
   * For datasets whose files scatter what belongs together: makes other rows of all rows, for
   * `samples` to read.
   *
   * @param refuse As of a `TableFile`.
   */
  gather?(
    rows: AsyncIterable<Row>,
    refuse: (place: string, message: string) => void,
  ): AsyncIterable<Row>;
}
