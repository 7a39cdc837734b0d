/**
 * Columns of a row, read with a check.
 *
 * @module
 */

/** A row or a document: values by column. */
export type Fields = Readonly<Record<string, unknown>>;

/** A row has not what its task needs; whoever knows where the row stands says so. */
export class FieldError extends Error {
  override readonly name: string = "FieldError";
}

/** The text in a column. */
export function textOf(row: Fields, column: string): string {
  const value = row[column];
  if (typeof value === "string") return value;
  throw missing(row, column, "text");
}

/** The texts in a column. */
export function textsOf(row: Fields, column: string): string[] {
  const value = row[column];
  if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
  throw missing(row, column, "a list of texts");
}

/** A column with a whole number, which may be written as text. */
export function integerOf(row: Fields, column: string): number {
  const value = row[column];
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value;
  if (typeof number === "bigint") return Number(number);
  if (typeof number === "number" && Number.isInteger(number)) return number;
  throw missing(row, column, "a whole number");
}

function missing(row: Fields, column: string, wanted: string): FieldError {
  const value = row[column];
  if (value === undefined) {
    return new FieldError(
      `there is no column ${JSON.stringify(column)}; the row has ${Object.keys(row).join(", ")}`,
    );
  }
  return new FieldError(
    `the column ${JSON.stringify(column)} must be ${wanted}: found ${show(value)}`,
  );
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
