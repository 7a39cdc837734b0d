/**
 * The one exception of a row that cannot be learned from: the loader adds its place, and counts or
 * refuses it.
 *
 * @module
 */

/** Why a row cannot be learned from, as a clause ("the completion is empty"). */
export class BadRow extends Error {
  /** Fixed, for messages. */
  override readonly name: string = "BadRow";
}

/** Columns of a row. */
export type Fields = Readonly<Record<string, unknown>>;

/**
 * The text in a column.
 *
 * @throws {BadRow} If the row has no such column, or something else in it.
 */
export function textOf(fields: Fields, name: string): string {
  const value = valueOf(fields, name);
  if (typeof value === "string") return value;
  throw new BadRow(`the field "${name}" is ${shown(value)}; wanted a text`);
}

/** The text in a column; empty if the row has no such column or null in it. */
export function optionalTextOf(fields: Fields, name: string): string {
  return (fields[name] ?? null) === null ? "" : textOf(fields, name);
}

/**
 * The objects in a column that holds a list.
 *
 * @throws {BadRow} If the row has no such column, or something else in it.
 */
export function objectsOf(fields: Fields, name: string): readonly Fields[] {
  const value = valueOf(fields, name);
  if (!Array.isArray(value)) {
    throw new BadRow(`the field "${name}" is ${shown(value)}; wanted a list`);
  }
  return value.map((entry: unknown, index) => {
    if (typeof entry === "object" && entry !== null && !Array.isArray(entry)) {
      return entry as Fields;
    }
    throw new BadRow(`entry ${index + 1} of "${name}" is ${shown(entry)}; wanted an object`);
  });
}

function valueOf(fields: Fields, name: string): unknown {
  if (Object.hasOwn(fields, name)) return fields[name];
  throw new BadRow(
    `the row has no field "${name}", only ${Object.keys(fields).join(", ") || "none"}`,
  );
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
