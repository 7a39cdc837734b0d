// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Weights of linear layers in host memory, which quantizers make, files hold and
 * `models/device_weight.ts` copies to a device: the mirror of `kernels/device.ts`'s `Weight`, and
 * formats that devices hold as one of those.
 *
 * @module
 */

import { type IntegerBits, NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../../kernels/device.ts";
import { DYNAMIC_MAP, NF4_LEVELS } from "../../kernels/nf4.ts";
import { unpackCodes } from "../../kernels/packing.ts";
import {
  dequantizeBinary,
  type HostBinaryWeight,
  type HostCodebookWeight,
} from "./binary_weight.ts";
import { dequantizeMixed, type HostMixedWeight } from "./mixed_weight.ts";

/** A matrix `[rows, columns]` of plain f32 values. */
export interface HostDenseWeight {
  /** Tells the formats apart. */
  readonly format: "dense";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** `[rows, columns]`, row-major. */
  readonly values: Float32Array;
}

/**
 * Integer codes with one scale and one float zero per block of `blockRows x blockColumns` weights:
 * `w = scale * (code - zero)`.
 */
export interface HostIntegerWeight {
  /** Tells the formats apart. */
  readonly format: "integer";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Width of a code. */
  readonly bits: IntegerBits;
  /** Outputs of a block; divides `rows`. */
  readonly blockRows: number;
  /** Inputs of a block, the group size; divides `columns`. */
  readonly blockColumns: number;
  /** `[rows, codeWords(bits, columns)]`, packed as `kernels/packing.ts` defines. */
  readonly codes: Uint32Array;
  /** `[rows / blockRows, columns / blockColumns]`. */
  readonly scales: Float32Array;
  /** `[rows / blockRows, columns / blockColumns]`. */
  readonly zeros: Float32Array;
}

/** Block maxima of an NF4 weight: plain, or quantized to 8 bits (double quantization). */
export type HostNf4Absmax =
  | {
    readonly kind: "plain";
    /** `[rows * columns / 64]`. */
    readonly values: Float32Array;
  }
  | {
    readonly kind: "double";
    /** `[ceil(rows * columns / 64 / 4)]`, four 8-bit codes per word, lowest byte first. */
    readonly codes: Uint32Array;
    /** `[ceil(rows * columns / 64 / 256)]`. */
    readonly scales: Float32Array;
    /** `[1]`, the mean of all block maxima. */
    readonly offset: Float32Array;
  };

/** 4-bit NormalFloat codes in blocks of 64 consecutive inputs: `w = NF4[code] * absmax(block)`. */
export interface HostNf4Weight {
  /** Tells the formats apart. */
  readonly format: "nf4";
  /** Output features. */
  readonly rows: number;
  /** Input features, a multiple of 64. */
  readonly columns: number;
  /** `[rows, codeWords(4, columns)]`, packed like 4-bit integers. */
  readonly codes: Uint32Array;
  /** Largest magnitude of each block of 64. */
  readonly absmax: HostNf4Absmax;
}

/**
 * Integer codes whose groups are not of consecutive inputs: column `c` of codes is input `order[c]`,
 * as GPTQ leaves them when it takes the inputs with the largest activations first.
 */
export interface HostOrderedWeight extends Omit<HostIntegerWeight, "format"> {
  /** Tells the formats apart. */
  readonly format: "ordered";
  /** `[columns]`: a permutation of the inputs. */
  readonly order: Uint32Array;
}

/** A weight in any format that files hold. */
export type HostWeight =
  | HostDenseWeight
  | HostIntegerWeight
  | HostNf4Weight
  | HostOrderedWeight
  | HostMixedWeight
  | HostBinaryWeight;

/** A weight in any format that kernels read directly. */
export type HostKernelWeight =
  | HostDenseWeight
  | HostIntegerWeight
  | HostNf4Weight
  | HostCodebookWeight;

/** An array of a weight, as wide as it is stored. */
export type WeightArray = Float32Array | Uint32Array | Float16Array | Uint8Array;

/** Bytes that the arrays of a weight take, padding included: what a file holds. */
export function weightBytes(weight: HostWeight): number {
  return weightArrays(weight).reduce((bytes, array) => bytes + array.byteLength, 0);
}

/** The arrays of a weight: codes first, then what belongs to them. */
export function weightArrays(weight: HostKernelWeight): readonly (Float32Array | Uint32Array)[];
export function weightArrays(weight: HostWeight): readonly WeightArray[];
export function weightArrays(weight: HostWeight | HostKernelWeight): readonly WeightArray[] {
  switch (weight.format) {
    case "dense":
      return [weight.values];
    case "integer":
      return [weight.codes, weight.scales, weight.zeros];
    case "nf4":
      return weight.absmax.kind === "plain"
        ? [weight.codes, weight.absmax.values]
        : [weight.codes, weight.absmax.codes, weight.absmax.scales, weight.absmax.offset];
    case "codebook":
      return [weight.codes, weight.levels];
    case "ordered":
      return [weight.codes, weight.scales, weight.zeros, weight.order];
    case "mixed":
      return [weight.codes, weight.scales, weight.zeros, weight.widths];
    case "binary":
      return [
        weight.codes,
        weight.salient,
        weight.scales,
        ...(weight.means === null ? [] : [weight.means]),
      ];
  }
}

/** The matrix `[rows, columns]` that a weight stands for, each value rounded once to f32. */
export function dequantizeHost(weight: HostWeight): Float32Array {
  switch (weight.format) {
    case "dense":
      return weight.values.slice();
    case "integer":
      return dequantizeInteger(weight);
    case "nf4":
      return dequantizeNf4(weight);
    case "ordered":
      return dequantizeOrdered(weight);
    case "mixed":
      return dequantizeMixed(weight);
    case "binary":
      return dequantizeBinary(weight);
  }
}

function dequantizeInteger(weight: HostIntegerWeight): Float32Array {
  const { rows, columns, bits, blockRows, blockColumns, scales, zeros } = weight;
  const codes = unpackCodes(weight.codes, bits, rows, columns);
  const values = new Float32Array(rows * columns);
  const blocksPerRow = columns / blockColumns;
  for (let row = 0; row < rows; row++) {
    for (let blockColumn = 0; blockColumn < blocksPerRow; blockColumn++) {
      const block = Math.floor(row / blockRows) * blocksPerRow + blockColumn;
      const scale = scales[block]!;
      const zero = zeros[block]!;
      const start = row * columns + blockColumn * blockColumns;
      for (let index = start; index < start + blockColumns; index++) {
        values[index] = scale * (codes[index]! - zero);
      }
    }
  }
  return values;
}

function dequantizeOrdered(weight: HostOrderedWeight): Float32Array {
  const { columns, order } = weight;
  const ordered = dequantizeInteger({ ...weight, format: "integer" });
  const values = new Float32Array(ordered.length);
  for (let start = 0; start < values.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      values[start + order[column]!] = ordered[start + column]!;
    }
  }
  return values;
}

function dequantizeNf4(weight: HostNf4Weight): Float32Array {
  const { rows, columns } = weight;
  const codes = unpackCodes(weight.codes, 4, rows, columns);
  const absmax = dequantizeAbsmax(weight.absmax, codes.length / NF4_BLOCK);
  return Float32Array.from(
    codes,
    (code, index) => NF4_LEVELS[code]! * absmax[Math.floor(index / NF4_BLOCK)]!,
  );
}

/** The `blocks` block maxima of an NF4 weight. */
export function dequantizeAbsmax(absmax: HostNf4Absmax, blocks: number): Float32Array {
  if (absmax.kind === "plain") return absmax.values.slice(0, blocks);
  const offset = absmax.offset[0]!;
  return Float32Array.from({ length: blocks }, (_, block) => {
    const code = absmax.codes[block >>> 2]! >>> (8 * (block & 3)) & 0xff;
    return DYNAMIC_MAP[code]! * absmax.scales[Math.floor(block / NF4_ABSMAX_BLOCK)]! + offset;
  });
}
