// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * How integer codes are packed into 32-bit words: one layout for storage, forward and backward.
 *
 * A row is padded to chunks of {@linkcode CHUNK} columns; a chunk of `bits`-wide codes takes exactly
 * `bits` words, so that no code straddles two words:
 *
 * - 1, 2, 4 and 8 bits: codes in order, lowest bits first (32, 16, 8 or 4 codes per word).
 * - 3 bits: two words with the low two bits of columns 0-15 and 16-31, then one word with the high
 *   bit of all 32 columns.
 *
 * @module
 */

import type { IntegerBits } from "./device.ts";

/** Columns per packed chunk. */
export const CHUNK = 32;

/** Words of one packed row. */
export function codeWords(bits: IntegerBits, columns: number): number {
  return Math.ceil(columns / CHUNK) * bits;
}

/**
 * Packs codes `[rows, columns]`, one byte each, into `[rows, codeWords(bits, columns)]` words.
 *
 * @throws {RangeError} If a code does not fit in `bits`.
 *
 * @example
 * ```ts
 * import { packCodes, unpackCodes } from "./packing.ts";
 *
 * const words = packCodes(Uint8Array.of(1, 2, 3, 0), 2, 2, 2);
 * if (words[0] !== 0b1001) throw new Error("row 0 is 1, 2");
 * if (unpackCodes(words, 2, 2, 2).join() !== "1,2,3,0") throw new Error("round trip");
 * ```
 */
export function packCodes(
  codes: Uint8Array,
  bits: IntegerBits,
  rows: number,
  columns: number,
): Uint32Array {
  const stride = codeWords(bits, columns);
  const words = new Uint32Array(rows * stride);
  const limit = 1 << bits;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const code = codes[row * columns + column] ?? limit;
      if (code >= limit) {
        throw new RangeError(
          `Cannot pack the code at row ${row}, column ${column} into ${bits} bits: it is ${code}`,
        );
      }
      const chunk = row * stride + Math.floor(column / CHUNK) * bits;
      const lane = column % CHUNK;
      if (bits === 3) {
        words[chunk + (lane >>> 4)]! |= (code & 3) << (2 * (lane & 15));
        words[chunk + 2]! |= (code >>> 2) << lane;
      } else {
        const perWord = CHUNK / bits;
        words[chunk + Math.floor(lane / perWord)]! |= code << (bits * (lane % perWord));
      }
    }
  }
  return words;
}

/** The inverse of {@linkcode packCodes}. */
export function unpackCodes(
  words: Uint32Array,
  bits: IntegerBits,
  rows: number,
  columns: number,
): Uint8Array {
  const stride = codeWords(bits, columns);
  const codes = new Uint8Array(rows * columns);
  const mask = (1 << bits) - 1;
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const chunk = row * stride + Math.floor(column / CHUNK) * bits;
      const lane = column % CHUNK;
      const word = (index: number) => words[chunk + index] ?? 0;
      codes[row * columns + column] = bits === 3
        ? (word(lane >>> 4) >>> (2 * (lane & 15)) & 3) | ((word(2) >>> lane & 1) << 2)
        : word(Math.floor(lane * bits / 32)) >>> (lane * bits % 32) & mask;
    }
  }
  return codes;
}
