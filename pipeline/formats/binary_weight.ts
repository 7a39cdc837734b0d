// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Weights of signs and scales, as BiLLM (Huang et al. 2024) leaves them: a block of consecutive
 * inputs has a few salient columns, whose weights are a sum of two binary terms, and two groups of
 * other weights, each with one binary term of its own.
 *
 * @module
 */

import { CODEBOOK_LEVELS } from "../../kernels/device.ts";
import { packCodes, unpackCodes } from "../../kernels/packing.ts";

/** Scales of a row in a block: salient columns first and second term, concentrated, sparse weights. */
export const BINARY_SCALES = 4;

/** Means of a row in a block: salient columns (both terms together), concentrated, sparse weights. */
export const BINARY_MEANS = 3;

/**
 * Two bits per weight. In a salient column they are the signs of two terms,
 * `w = mean + first scale * sign + second scale * sign`; elsewhere one is the sign and the other
 * tells the sparse weights (1) from the concentrated ones (0), `w = mean(group) + scale(group) * sign`.
 */
export interface HostBinaryWeight {
  /** Tells the formats apart. */
  readonly format: "binary";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Inputs of a block; divides `columns`. */
  readonly blockColumns: number;
  /**
   * `[rows, codeWords(2, columns)]`, packed like 2-bit integers. Bit 0: the (first) sign, 1 for plus.
   * Bit 1: in a salient column the second sign, elsewhere the group.
   */
  readonly codes: Uint32Array;
  /** `[ceil(columns / 8)]`: one bit per column, lowest first, 1 where it is salient. */
  readonly salient: Uint8Array;
  /** `[rows, columns / blockColumns, 4]`; see {@linkcode BINARY_SCALES}. */
  readonly scales: Float16Array;
  /** `[rows, columns / blockColumns, 3]`, or null where all are 0; see {@linkcode BINARY_MEANS}. */
  readonly means: Float16Array | null;
}

/** Whether the weights of a column are sums of two terms. */
export function isSalient(salient: Uint8Array, column: number): boolean {
  return (salient[column >>> 3]! >>> (column & 7) & 1) === 1;
}

/** Columns whose weights are sums of two terms. */
export function countSalient({ salient, columns }: HostBinaryWeight): number {
  let count = 0;
  for (let column = 0; column < columns; column++) if (isSalient(salient, column)) count++;
  return count;
}

/** 3-bit codes with eight values for every row of a block: `w = levels[row, block][code]`. */
export interface HostCodebookWeight {
  /** Tells the formats apart. */
  readonly format: "codebook";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Inputs of a block; divides `columns`. */
  readonly blockColumns: number;
  /** `[rows, codeWords(3, columns)]`, packed like 3-bit integers. */
  readonly codes: Uint32Array;
  /** `[rows, columns / blockColumns, 8]`. */
  readonly levels: Float32Array;
}

/**
 * The values of every row of a block, `[rows, columns / blockColumns, 8]`, each rounded once to f32: by
 * its two bits, first of weights elsewhere, then of weights in salient columns.
 */
function levelsOf({ scales, means }: HostBinaryWeight): Float32Array {
  const levels = new Float32Array(scales.length / BINARY_SCALES * CODEBOOK_LEVELS);
  for (let index = 0; index < levels.length; index++) {
    const block = Math.floor(index / CODEBOOK_LEVELS);
    const scale = (which: number) => scales[BINARY_SCALES * block + which]!;
    const mean = (which: number) => means === null ? 0 : means[BINARY_MEANS * block + which]!;
    const sign = index & 1 ? 1 : -1;
    const second = index >>> 1 & 1;
    levels[index] = index & 4
      ? mean(0) + sign * scale(0) + (second ? 1 : -1) * scale(1)
      : mean(1 + second) + sign * scale(2 + second);
  }
  return levels;
}

/** Indices into the {@linkcode levelsOf} a weight, `[rows, columns]`. */
function levelCodes({ rows, columns, codes, salient }: HostBinaryWeight): Uint8Array {
  return unpackCodes(codes, 2, rows, columns)
    .map((code, index) => isSalient(salient, index % columns) ? code | 4 : code);
}

/** The same matrix as codes of the values that each row of a block has. */
export function binaryCodebook(weight: HostBinaryWeight): HostCodebookWeight {
  const { rows, columns, blockColumns } = weight;
  return {
    format: "codebook",
    rows,
    columns,
    blockColumns,
    codes: packCodes(levelCodes(weight), 3, rows, columns),
    levels: levelsOf(weight),
  };
}

/** The matrix `[rows, columns]` that a weight stands for, each value rounded once to f32. */
export function dequantizeBinary(weight: HostBinaryWeight): Float32Array {
  const levels = levelsOf(weight);
  return Float32Array.from(
    levelCodes(weight),
    (code, index) => levels[CODEBOOK_LEVELS * Math.floor(index / weight.blockColumns) + code]!,
  );
}
