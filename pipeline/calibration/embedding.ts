// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The hidden states before the first block: rows of the embedding, taken from the model's file piece
 * by piece, so that neither the host nor the device holds the whole table.
 *
 * @module
 */

import { EMBEDDING } from "../models/architecture.ts";
import type { ModelSource } from "../models/language_model.ts";
import type { HiddenStates } from "./hidden_states.ts";

/** Writes the embedding of every token to where its hidden state belongs. */
export async function writeEmbeddings(
  states: HiddenStates,
  tokens: Uint32Array,
  source: ModelSource,
): Promise<void> {
  const { hiddenSize: width } = source.config;
  const order = Uint32Array.from(tokens.keys()).sort((left, right) =>
    tokens[left]! - tokens[right]!
  );
  const pieces = source.pieces?.(EMBEDDING) ??
    [{ first: 0, values: await source.floats(EMBEDDING) }];
  for (const { first, values } of pieces) {
    if (!(values instanceof Float32Array)) throw new TypeError(`${EMBEDDING} is not of floats`);
    const end = first + values.length;
    // A row may begin in one piece and end in the next.
    for (let index = firstWith(order, tokens, Math.floor(first / width));; index++) {
      const position = order[index];
      if (position === undefined) break;
      const start = tokens[position]! * width;
      if (start >= end) break;
      const from = Math.max(start, first);
      const to = Math.min(start + width, end);
      states.write(position * width + from - start, values.subarray(from - first, to - first));
    }
  }
}

/** The first place in `order` whose token is at least `token`. */
function firstWith(order: Uint32Array, tokens: Uint32Array, token: number): number {
  let low = 0;
  let high = order.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (tokens[order[middle]!]! < token) low = middle + 1;
    else high = middle;
  }
  return low;
}
