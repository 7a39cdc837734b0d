/**
 * Lines of text files, with their numbers.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { joinBytes, readBytes } from "./compression.ts";

const NEWLINE = 10;

/** A line of a file. */
export interface Line {
  /** Without the newline that ends it; a carriage return before that is kept. */
  readonly text: string;
  /** From 1. */
  readonly number: number;
}

/**
 * The lines of a file, compressed or not; a byte order mark is dropped. What follows the last
 * newline is a line only if there is anything.
 *
 * @throws {UserError} If the file cannot be read, or a line is not UTF-8.
 *
 * @example
 * ```ts
 * import { readLines } from "./lines.ts";
 *
 * const path = await Deno.makeTempFile();
 * await Deno.writeTextFile(path, "one\ntwo");
 * const lines = await Array.fromAsync(readLines(path), ({ number, text }) => `${number} ${text}`);
 * if (lines.join() !== "1 one,2 two") throw new Error("two lines");
 * await Deno.remove(path);
 * ```
 */
export async function* readLines(path: string): AsyncGenerator<Line> {
  let number = 0;
  // A line may begin in one piece of the file and end in another.
  let begun: Uint8Array[] = [];
  const finish = (end: Uint8Array): Line => {
    const bytes = begun.length === 0 ? end : joinBytes([...begun, end]);
    begun = [];
    return { text: decodeLine(bytes, path, ++number), number };
  };
  for await (const piece of readBytes(path)) {
    let start = 0;
    for (let end; (end = piece.indexOf(NEWLINE, start)) !== -1; start = end + 1) {
      yield finish(piece.subarray(start, end));
    }
    // Copied: streams use their buffers again.
    if (start < piece.length) begun.push(piece.slice(start));
  }
  if (begun.length > 0) yield finish(new Uint8Array());
}

function decodeLine(bytes: Uint8Array, path: string, number: number): string {
  try {
    // Only the mark at the beginning of a file is none of its text.
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: number > 1 }).decode(bytes);
  } catch {
    throw new UserError(`${path}:${number}: not UTF-8 text; convert the file to UTF-8`);
  }
}
