/**
 * Remembering the tokens of words: a few thousand words are most of every text.
 *
 * @module
 */

const MOST_PIECES = 2 ** 16;

/** Longer pieces hardly ever come again. */
const LONGEST_PIECE = 64;

/**
 * The function with a memory for short pieces. What it returns is shared: it must not be changed.
 *
 * @example
 * ```ts
 * import { rememberPieces } from "./piece_cache.ts";
 *
 * let calls = 0;
 * const encode = rememberPieces((piece) => [calls++, piece.length]);
 * if (encode("word") !== encode("word") || calls !== 1) throw new Error("the second is remembered");
 * ```
 */
export function rememberPieces(
  encode: (piece: string) => readonly number[],
): (piece: string) => readonly number[] {
  const known = new Map<string, readonly number[]>();
  return (piece) => {
    let ids = known.get(piece);
    if (ids === undefined) {
      ids = encode(piece);
      if (piece.length <= LONGEST_PIECE) {
        if (known.size === MOST_PIECES) known.clear();
        known.set(piece, ids);
      }
    }
    return ids;
  };
}
