/**
 * Rows of a dataset as its file has them, before anything is made of them.
 *
 * @module
 */

/** One row. */
export interface Row {
  /** By column; what JSON can hold. */
  readonly fields: Readonly<Record<string, unknown>>;
  /** Where it stands, for messages: "/data/train.jsonl:17"; of formats without lines "…: row 17". */
  readonly place: string;
}
