/**
 * Parquet files: nested lists and structures as what JSON calls arrays and objects.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type { AsyncBuffer, FileMetaData } from "hyparquet";
import { UserError } from "../../errors.ts";
import { compressionOf, readAllBytes, readBytes } from "./compression.ts";
import type { Row } from "./row.ts";
import type { TableFile, TableFormat } from "./table_format.ts";

/**
 * See the module documentation. Integers of 64 bits that no number holds exactly are texts of digits,
 * dates ISO 8601 texts, missing values null, and bytes that are no UTF-8 text base64.
 */
export const parquet: TableFormat = {
  name: "parquet",
  endings: [".parquet"],
  async *read({ path }: TableFile): AsyncGenerator<Row> {
    // Loaded where a file needs them: every worker would hold them otherwise.
    const [{ parquetMetadataAsync, parquetReadObjects }, { compressors }] = await Promise.all([
      import("hyparquet"),
      import("hyparquet-compressors"),
    ]);
    const file = await open(path);
    const metadata = await attempt(path, () => parquetMetadataAsync(file));
    let index = 0;
    // One group at a time is in memory.
    for (const rows of groupSizes(metadata)) {
      const objects = await attempt(path, () =>
        parquetReadObjects({
          file,
          metadata,
          compressors,
          rowStart: index,
          rowEnd: index + rows,
          utf8: false,
          parsers: { stringFromBytes: textOf, jsonFromBytes: jsonOf },
        }));
      for (const object of objects) {
        yield { fields: jsonObject(object), place: `${path}: row ${++index}` };
      }
    }
  },
};

async function open(path: string): Promise<AsyncBuffer> {
  if (compressionOf(path) !== "") return (await readAllBytes(path)).buffer;
  // Says what is wrong with a path that is no file.
  for await (const _ of readBytes(path)) break;
  return await (await import("hyparquet")).asyncBufferFromFile(path);
}

async function attempt<T>(path: string, read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new UserError(
      `${path}: not a readable Parquet file (${error instanceof Error ? error.message : error})`,
    );
  }
}

function groupSizes({ row_groups }: FileMetaData): number[] {
  return row_groups.map(({ num_rows }) => Number(num_rows));
}

// Null stands where the row has no value, whatever the type says.
function textOf(bytes: Uint8Array | null | undefined): string | null {
  if (bytes === null || bytes === undefined) return null;
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

function jsonOf(bytes: Uint8Array | null | undefined): unknown {
  const text = textOf(bytes);
  return text === null ? null : JSON.parse(text);
}

function jsonObject(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).map(([name, value]) => [name, jsonValue(value)]),
  );
}

function jsonValue(value: unknown): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (typeof value !== "object") return value;
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return bytesText(value);
  if (Array.isArray(value)) return value.map(jsonValue);
  if (ArrayBuffer.isView(value)) {
    return Array.from(value as unknown as Iterable<unknown>, jsonValue);
  }
  return jsonObject(value as Record<string, unknown>);
}

/** Writers that annotate nothing store texts as bytes. */
function bytesText(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return Buffer.from(bytes).toString("base64");
  }
}
