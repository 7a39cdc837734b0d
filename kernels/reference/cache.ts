// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Generation with a key-value cache: what was computed for the tokens so far is kept, and each new
 * token attends to it.
 *
 * @module
 */

import { attend, type AttentionSizes } from "./attention.ts";

/** A cache `[rows, capacity, width]` and where new tokens of a batch go; see `KeyValueCache`. */
export interface CacheArrays {
  /** `[rows, capacity, width]`. */
  readonly keys: Float64Array;
  /** `[rows, capacity, width]`. */
  readonly values: Float64Array;
  /** `[batch]`. */
  readonly slots: Uint32Array;
  /** `[batch]`. */
  readonly positions: Uint32Array;
}

/**
 * `cache[slots[b], positions[b] + i] = input[b, i]` where that is inside.
 *
 * @param input `[batch, length, width]`
 * @param cache `[rows, capacity, width]`
 */
export function appendToCache(
  input: Float64Array,
  cache: Float64Array,
  { slots, positions }: Pick<CacheArrays, "slots" | "positions">,
  { batch, length, capacity, width }: {
    readonly batch: number;
    readonly length: number;
    readonly capacity: number;
    readonly width: number;
  },
): void {
  for (let b = 0; b < batch; b++) {
    for (let i = 0; i < length; i++) {
      const position = positions[b]! + i;
      if (position >= capacity) continue;
      const token = (b * length + i) * width;
      cache.set(
        input.subarray(token, token + width),
        (slots[b]! * capacity + position) * width,
      );
    }
  }
}

/**
 * The query at position p of a sequence attends to positions `p - window + 1` to p of its row.
 *
 * @param queries `[batch * length, heads * headDim]`
 * @param output like `queries`
 */
export function cachedAttention(
  queries: Float64Array,
  { keys, values, slots, positions }: CacheArrays,
  output: Float64Array,
  sizes: AttentionSizes & { readonly capacity: number },
): void {
  const { batch, length, heads, kvHeads, headDim, window, capacity } = sizes;
  for (let t = 0; t < batch * length; t++) {
    const b = Math.floor(t / length);
    const position = Math.min(positions[b]! + t % length, capacity - 1);
    const first = Math.max(0, position - window + 1);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h * kvHeads / heads);
      const visible = [];
      for (let j = first; j <= position; j++) {
        visible.push(((slots[b]! * capacity + j) * kvHeads + kvHead) * headDim);
      }
      attend(queries, (t * heads + h) * headDim, keys, values, visible, output, sizes);
    }
  }
}
