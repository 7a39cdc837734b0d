/**
 * JSON lines: one object a line.
 *
 * @module
 */

import { readLines } from "./lines.ts";
import type { Row } from "./row.ts";
import type { TableFile, TableFormat } from "./table_format.ts";

/** See the module documentation; lines of white space are none. */
export const jsonl: TableFormat = {
  name: "jsonl",
  endings: [".jsonl", ".ndjson"],
  async *read(file: TableFile): AsyncGenerator<Row> {
    for await (const { text, number } of readLines(file.path)) {
      if (text.trim() === "") continue;
      const place = `${file.path}:${number}`;
      let value: unknown;
      try {
        value = JSON.parse(text);
      } catch (error) {
        file.refuse(place, `not JSON (${error instanceof Error ? error.message : error})`);
        continue;
      }
      if (isObject(value)) yield { fields: value, place };
      else file.refuse(place, "the row is not a JSON object");
    }
  },
};

/** Whether a value of JSON is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
