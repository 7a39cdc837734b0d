/**
 * Files that may be missing: what every reader of a folder asks first.
 *
 * @module
 */

import { UserError } from "../errors.ts";

/** What is at a path; null if there is nothing. */
export function statOrNull(path: string): Deno.FileInfo | null {
  return orNull(() => Deno.statSync(path));
}

/** The text of a file; null if there is none. */
export function readTextOrNull(path: string): string | null {
  return orNull(() => Deno.readTextFileSync(path));
}

/**
 * The JSON object in a file; null if there is no file.
 *
 * @throws {UserError} If the file does not hold a JSON object.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const file = Deno.makeTempFileSync();
 * Deno.writeTextFileSync(file, '{"vocab_size": 512}');
 * assert.deepEqual(readJsonOrNull(file), { vocab_size: 512 });
 * Deno.removeSync(file);
 * assert.equal(readJsonOrNull(file), null);
 * ```
 */
export function readJsonOrNull(path: string): Record<string, unknown> | null {
  const text = readTextOrNull(path);
  return text === null ? null : parseJsonObject(text, path);
}

/**
 * The JSON object in a file.
 *
 * @param reader What cannot do without the file ("a model folder"), for the message.
 * @throws {UserError} If the file is missing or does not hold a JSON object.
 */
export function readJson(path: string, reader: string): Record<string, unknown> {
  const json = readJsonOrNull(path);
  if (json === null) throw new UserError(`${path} is missing; ${reader} needs it`);
  return json;
}

function parseJsonObject(text: string, path: string): Record<string, unknown> {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: not JSON (${error instanceof Error ? error.message : error})`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UserError(`${path}: wanted a JSON object`);
  }
  return json as Record<string, unknown>;
}

function orNull<T>(read: () => T): T | null {
  try {
    return read();
  } catch (error) {
    // A file where a folder was expected on the way is as good as nothing.
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    throw error;
  }
}
