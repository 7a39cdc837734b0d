/**
 * What a process that died is quoted with.
 *
 * @module
 */

/** The first line of a Rust panic, which ends with its place: "ext/webgpu/buffer.rs:281:30". */
const PANIC = /^thread .* panicked at (.+?):?$/;

/**
 * The last lines of a process's error output as one clause; of a panic, only its place and its message.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 * import { lastWords } from "./last_words.ts";
 *
 * assert.equal(lastWords(["", "driver: segmentation fault"]), "driver: segmentation fault");
 * ```
 */
export function lastWords(lines: readonly string[]): string {
  const panic = lines.findIndex((line) => PANIC.test(line));
  const place = PANIC.exec(lines[panic] ?? "")?.[1];
  if (place !== undefined) return `Deno panicked at ${place}: ${lines[panic + 1] ?? ""}`;
  return lines.filter((line) => line.trim() !== "").join(" / ");
}
