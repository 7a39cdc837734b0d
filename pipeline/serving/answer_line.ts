/**
 * What whoever runs the server sees of each request: never what it asked.
 *
 * @module
 */

import type { RequestRecord } from "./server.ts";

/** "10:01:02 POST /v1/completions 200, 412 + 16 tokens, 1.31 s". */
export function answerLine(record: RequestRecord, time: Date): string {
  const { method, path, status, usage, milliseconds, error, trace } = record;
  const parts = [`${time.toTimeString().slice(0, 8)} ${method} ${path} ${status}`];
  if (usage !== null) parts.push(`${usage.prompt_tokens} + ${usage.completion_tokens} tokens`);
  parts.push(`${(milliseconds / 1000).toFixed(2)} s`);
  const line = parts.join(", ");
  return error === null ? line : `${line}: ${trace ?? error}`;
}
