/**
 * JSON files: an array of objects, or an object in which one key holds that array (`{"data": [...]}`).
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { readAllBytes } from "./compression.ts";
import { isObject, jsonl } from "./jsonl.ts";
import { readLines } from "./lines.ts";
import type { Row } from "./row.ts";
import type { TableFile, TableFormat } from "./table_format.ts";

/** See the module documentation. */
export const json: TableFormat = {
  name: "json",
  endings: [".json"],
  async *read(file: TableFile): AsyncGenerator<Row> {
    const { path } = file;
    if (await holdsJsonLines(path)) {
      yield* jsonl.read(file);
      return;
    }
    // As UTF-8, which the look at its lines has checked.
    const rows = rowsOf(parseJson(new TextDecoder().decode(await readAllBytes(path)), path), path);
    for (const [index, fields] of rows.entries()) {
      const place = `${path}: row ${index + 1}`;
      if (isObject(fields)) yield { fields, place };
      else file.refuse(place, "the row is not a JSON object");
    }
  },
};

/** The Hub has many files of JSON lines under this name (C4's, for one): two lines that are objects. */
async function holdsJsonLines(path: string): Promise<boolean> {
  let objects = 0;
  for await (const { text } of readLines(path)) {
    if (text.trim() === "") continue;
    if (!isObjectText(text)) return objects > 0;
    if (++objects === 2) return true;
  }
  return false;
}

function isObjectText(text: string): boolean {
  if (!text.trimStart().startsWith("{")) return false;
  try {
    return isObject(JSON.parse(text));
  } catch {
    return false;
  }
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const line = /\(line (\d+) column \d+\)/.exec(message)?.[1];
    throw new UserError(`${path}${line === undefined ? "" : `:${line}`}: not JSON (${message})`);
  }
}

function rowsOf(value: unknown, path: string): readonly unknown[] {
  if (Array.isArray(value)) return value;
  const arrays = isObject(value)
    ? Object.entries(value).filter(([, entry]) => Array.isArray(entry))
    : [];
  const [found, second] = arrays;
  if (found !== undefined && second === undefined) return found[1] as unknown[];
  throw new UserError(
    `${path}: wanted an array of rows, or an object with one; ${
      arrays.length === 0
        ? "there is none"
        : `the object has several: ${arrays.map(([name]) => name).join(", ")}`
    }`,
  );
}
