// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Dequantization: what the codes of a packed weight stand for.
 *
 * @module
 */

import { CODEBOOK_LEVELS, type IntegerBits, NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../device.ts";
import { DYNAMIC_MAP, NF4_LEVELS } from "../nf4.ts";
import { unpackCodes } from "../packing.ts";

/** Dimensions of an integer weight, see {@linkcode IntegerWeight}. */
export interface IntegerLayout {
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Bits per code. */
  readonly bits: IntegerBits;
  /** Rows that share a scale. */
  readonly blockRows: number;
  /** Columns that share a scale. */
  readonly blockColumns: number;
}

/**
 * `w[n, k] = scales[block] * (code[n, k] - zeros[block])`, block
 * `[floor(n / blockRows), floor(k / blockColumns)]`.
 *
 * @param codes `[rows, codeWords(bits, columns)]`
 * @param scales `[rows / blockRows, columns / blockColumns]`
 * @param zeros like `scales`
 * @returns `[rows, columns]`
 */
export function dequantizeInteger(
  codes: Uint32Array,
  scales: Float64Array,
  zeros: Float64Array,
  { rows, columns, bits, blockRows, blockColumns }: IntegerLayout,
): Float64Array {
  const levels = unpackCodes(codes, bits, rows, columns);
  const weight = new Float64Array(rows * columns);
  for (let n = 0; n < rows; n++) {
    for (let k = 0; k < columns; k++) {
      const block = Math.floor(n / blockRows) * (columns / blockColumns) +
        Math.floor(k / blockColumns);
      weight[n * columns + k] = scales[block]! * (levels[n * columns + k]! - zeros[block]!);
    }
  }
  return weight;
}

/**
 * `w[n, k] = NF4[code[n, k]] * absmax[floor((n * columns + k) / 64)]`.
 *
 * @param codes `[rows, codeWords(4, columns)]`
 * @param absmax `[rows * columns / 64]`
 * @returns `[rows, columns]`
 */
export function dequantizeNf4(
  codes: Uint32Array,
  absmax: Float64Array,
  rows: number,
  columns: number,
): Float64Array {
  const levels = unpackCodes(codes, 4, rows, columns);
  return Float64Array.from(
    levels,
    (code, index) => NF4_LEVELS[code]! * absmax[Math.floor(index / NF4_BLOCK)]!,
  );
}

/**
 * Double quantization (QLoRA, section 3):
 * `absmax[i] = DYNAMIC_MAP[code[i]] * scales[floor(i / 256)] + offset`.
 *
 * @param codes `[ceil(blocks / 4)]`, four codes per word, lowest byte first
 * @param scales `[ceil(blocks / 256)]`
 * @returns `[blocks]`
 */
export function dequantizeAbsmax(
  codes: Uint32Array,
  scales: Float64Array,
  offset: number,
  blocks: number,
): Float64Array {
  const absmax = new Float64Array(blocks);
  for (let i = 0; i < blocks; i++) {
    const code = codes[Math.floor(i / 4)]! >>> (8 * (i % 4)) & 255;
    absmax[i] = DYNAMIC_MAP[code]! * scales[Math.floor(i / NF4_ABSMAX_BLOCK)]! + offset;
  }
  return absmax;
}

/**
 * `w[n, k] = levels[n, floor(k / blockColumns)][code[n, k]]`.
 *
 * @param codes `[rows, codeWords(3, columns)]`
 * @param levels `[rows, columns / blockColumns, 8]`
 * @returns `[rows, columns]`
 */
export function dequantizeCodebook(
  codes: Uint32Array,
  levels: Float64Array,
  { rows, columns, blockColumns }: Pick<IntegerLayout, "rows" | "columns" | "blockColumns">,
): Float64Array {
  // Blocks divide rows, so counting them row by row is counting along the codes.
  return Float64Array.from(
    unpackCodes(codes, 3, rows, columns),
    (code, index) => levels[CODEBOOK_LEVELS * Math.floor(index / blockColumns) + code]!,
  );
}
