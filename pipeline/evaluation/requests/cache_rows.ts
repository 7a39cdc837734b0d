/**
 * How many texts a cache of keys and values holds at once.
 *
 * @module
 */

/** Tokens that each row of a batch stands for; texts that are longer take the place of others. */
const ROW_TOKENS = 1024;

/** A cache for texts of up to `capacity` tokens. */
export interface CacheRows {
  readonly batchSize: number;
  readonly capacity: number;
}

/**
 * The rows of a cache for texts of up to `longest` tokens: as many as the batch is to have, but fewer
 * where texts are long, so that its memory follows from the batch alone. One text always fits.
 *
 * @example
 * ```ts
 * import { cacheRows } from "./cache_rows.ts";
 *
 * const long = cacheRows(8, 3000);
 * if (long.batchSize !== 2 || long.capacity !== 3000) throw new Error("8 x 1024 tokens in all");
 * if (cacheRows(8, 300).batchSize !== 8) throw new Error("short texts take all rows");
 * ```
 */
export function cacheRows(batchSize: number, longest: number): CacheRows {
  const fitting = Math.floor(batchSize * ROW_TOKENS / longest);
  return { batchSize: Math.max(1, Math.min(batchSize, fitting)), capacity: longest };
}

/** The largest cache of a batch for texts of up to `longest` tokens, few of which are that long. */
export function largestCache(batchSize: number, longest: number): CacheRows {
  return { batchSize, capacity: Math.min(longest, ROW_TOKENS) };
}
