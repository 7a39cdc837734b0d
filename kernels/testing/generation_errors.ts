/**
 * Calls of the operations of generation whose shapes do not fit; see `shape_errors.ts`.
 *
 * @module
 */

import type { BadCall, Maker } from "./shape_errors.ts";

/** One bad call per requirement that a caller is likely to break. */
export const GENERATION_BAD_CALLS: readonly BadCall[] = [
  {
    label: "rope at positions of another batch",
    message: /^rope: positions "positions" has shape \[3\], but \[2\] is needed$/,
    call: (operations, tensor) =>
      operations.rope({
        values: tensor("values", [6, 8]),
        cosines: tensor("cosines", [4, 4]),
        sines: tensor("sines", [4, 4]),
        heads: 1,
        headDim: 8,
        length: 3,
        layout: "half",
        positions: tensor("positions", [3], "u32"),
      }),
  },
  {
    label: "appendToCache of wider keys",
    message:
      /^appendToCache: keyCache "key cache" has shape \[2, 9, 4\], but \[2, 9, 8\] is needed$/,
    call: (operations, tensor) =>
      operations.appendToCache({
        ...cache(tensor),
        keys: tensor("keys", [2, 8]),
        values: tensor("values", [2, 8]),
      }),
  },
  {
    label: "cachedAttention with slots for fewer sequences",
    message: /^cachedAttention: slots "slots" has shape \[2\], but \[3\] is needed$/,
    call: (operations, tensor) =>
      operations.cachedAttention({
        ...cache(tensor),
        batch: 3,
        length: 1,
        heads: 2,
        kvHeads: 1,
        headDim: 4,
        scale: 0.5,
        queries: tensor("q", [3, 8]),
        output: tensor("o", [3, 8]),
      }),
  },
  {
    label: "sample at a negative temperature",
    message: /^sample: temperature is -1; pass 0 or a positive number$/,
    call: (operations, tensor) => operations.sample({ ...draws(tensor), temperature: -1 }),
  },
  {
    label: "sample of no token",
    message: /^sample: topK is 0; it must be a positive integer$/,
    call: (operations, tensor) => operations.sample({ ...draws(tensor), temperature: 1, topK: 0 }),
  },
  {
    label: "sample of more than all",
    message: /^sample: topP is 1\.5; it must be above 0 and at most 1$/,
    call: (operations, tensor) =>
      operations.sample({ ...draws(tensor), temperature: 1, topP: 1.5 }),
  },
];

function cache(tensor: Maker) {
  return {
    keyCache: tensor("key cache", [2, 9, 4]),
    valueCache: tensor("value cache", [2, 9, 4]),
    slots: tensor("slots", [2], "u32"),
    positions: tensor("positions", [2], "u32"),
  };
}

function draws(tensor: Maker) {
  return {
    logits: tensor("logits", [2, 7]),
    keys: tensor("keys", [2, 2], "u32"),
    counters: tensor("counters", [2], "u32"),
    tokens: tensor("tokens", [2], "u32"),
    logProbabilities: tensor("probabilities", [2]),
  };
}
