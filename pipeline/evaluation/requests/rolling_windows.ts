/**
 * A long text in windows, each of its tokens predicted once (lm-evaluation-harness,
 * `lm_eval/utils.py`, `get_rolling_token_windows` with a context of 1).
 *
 * @module
 */

import type { TokenPair } from "./request_tokenizer.ts";

/**
 * Windows of a text for a model of `maxLength` positions. The first predicts from `prefix` on; later
 * ones begin with the token before what they predict, but the last with as many tokens as fit.
 *
 * @example
 * ```ts
 * import { rollingWindows } from "./rolling_windows.ts";
 *
 * const text = Uint32Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
 * const shown = rollingWindows(text, 0, 4).map(({ context, continuation }) =>
 *   `${context}:${continuation}`
 * );
 * if (shown.join(" ") !== "0:1,2,3,4 4:5,6,7,8 6,7,8:9,10") throw new Error(shown.join(" "));
 * ```
 */
export function rollingWindows(
  tokens: Uint32Array,
  prefix: number,
  maxLength: number,
): TokenPair[] {
  const windows: TokenPair[] = [];
  for (let start = 0; start < tokens.length; start += maxLength) {
    const end = Math.min(start + maxLength, tokens.length);
    windows.push({
      context: start === 0 ? Uint32Array.of(prefix) : tokens.subarray(end - maxLength - 1, start),
      continuation: tokens.subarray(start, end),
    });
  }
  return windows;
}
