/**
 * SHA-256 digests of values and files: what content addresses are made of.
 *
 * @module
 */

import { createHash } from "node:crypto";
import canonicalize from "canonicalize";

/** Bytes read at a time: large enough to keep the hash busy, small beside any model. */
const CHUNK_BYTES = 1 << 20;

/**
 * Hexadecimal SHA-256 of a JSON value in canonical form (RFC 8785), so that the order in which keys
 * were written does not matter. Members that are `undefined` do not count.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * assert.equal(digestOf({ b: 1, a: 2 }), digestOf({ a: 2, b: 1 }));
 * ```
 *
 * @throws {TypeError} If the value holds something that JSON cannot (NaN, Infinity, a cycle).
 */
export function digestOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = canonicalize(value);
  } catch (error) {
    throw new TypeError(`Cannot digest a value that is not JSON: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (text === undefined) throw new TypeError(`Cannot digest a ${typeof value}: it is not JSON`);
  return createHash("sha256").update(text).digest("hex");
}

/** Hexadecimal SHA-256 of a file's bytes, read once in pieces. */
export async function digestFile(path: string): Promise<string> {
  using file = await Deno.open(path, { read: true });
  const hash = createHash("sha256");
  const chunk = new Uint8Array(CHUNK_BYTES);
  for (;;) {
    const count = await file.read(chunk);
    if (count === null) return hash.digest("hex");
    hash.update(chunk.subarray(0, count));
  }
}
