/**
 * Rows to score that are cut from streams of tokens.
 *
 * @module
 */

import type { Example } from "../../data/dataset.ts";
import { TextWindows } from "../../data/text_windows.ts";

/** Consecutive whole windows of a stream, every token but a window's first a target. */
export function wholeWindows(stream: Uint32Array, window: number): Example[] {
  const windows = new TextWindows(stream, window);
  return Array.from({ length: windows.size }, (_, index) => windows.example(index));
}

/**
 * Rolling windows of lm-evaluation-harness (`get_rolling_token_windows` with one token of context,
 * `lm_eval/utils.py`): every token is a target once. The first row predicts as many tokens as the
 * model reads from `prefix` and the tokens before; later rows predict the next ones, the last row with
 * as much context as the model reads. A row has one token more than the model reads.
 *
 * @example Of ten tokens, four are read at once
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const rows = rollingWindows(Uint32Array.from({ length: 10 }, (_, index) => index + 1), 0, 4);
 * assert.deepEqual(
 *   rows.map(({ tokens, targets }) => `${tokens} ${targets}`),
 *   ["0,1,2,3,4 0,1,1,1,1", "4,5,6,7,8 0,1,1,1,1", "6,7,8,9,10 0,0,0,1,1"],
 * );
 * ```
 */
export function rollingWindows(tokens: Uint32Array, prefix: number, window: number): Example[] {
  const stream = new Uint32Array(tokens.length + 1);
  stream[0] = prefix;
  stream.set(tokens, 1);
  const rows: Example[] = [];
  for (let scored = 0; scored < tokens.length;) {
    const end = Math.min(scored + window, tokens.length);
    // Token `end` of the stream is the last target, and `window` tokens stand before it.
    const row = stream.subarray(Math.max(0, end - window), end + 1);
    const targets = new Uint8Array(row.length);
    targets.fill(1, row.length - (end - scored));
    rows.push({ tokens: row, targets });
    scored = end;
  }
  return rows;
}
