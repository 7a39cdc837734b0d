// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Random weights in every format that kernels read, on the host and uploaded to a device.
 *
 * @module
 */

import {
  CODEBOOK_LEVELS,
  type Device,
  type DType,
  type IntegerBits,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  type Tensor,
  type Weight,
} from "../device.ts";
import { DYNAMIC_MAP, NF4_LEVELS } from "../nf4.ts";
import { codeWords, packCodes } from "../packing.ts";
import {
  dequantizeAbsmax,
  dequantizeCodebook,
  dequantizeInteger,
  dequantizeNf4,
} from "../reference/weight.ts";
import { randomFloats, randomIntegers } from "./arrays.ts";

/** A dense weight on the host. */
export interface DenseData {
  /** Discriminates {@linkcode WeightData}. */
  readonly format: "dense";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** `[rows, columns]`. */
  readonly values: Float32Array;
}

/** An integer weight on the host, codes unpacked. */
export interface IntegerData {
  /** Discriminates {@linkcode WeightData}. */
  readonly format: "integer";
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
  /** `[rows, columns]`. */
  readonly codes: Uint8Array;
  /** `[rows / blockRows, columns / blockColumns]`. */
  readonly scales: Float32Array;
  /** Like `scales`. */
  readonly zeros: Float32Array;
}

/** An NF4 weight on the host, codes unpacked. */
export interface Nf4Data {
  /** Discriminates {@linkcode WeightData}. */
  readonly format: "nf4";
  /** Output features. */
  readonly rows: number;
  /** Input features, a multiple of 64. */
  readonly columns: number;
  /** `[rows, columns]`. */
  readonly codes: Uint8Array;
  /** Block maxima `[rows * columns / 64]`, or what double quantization keeps of them. */
  readonly absmax: Float32Array | DoubleQuantized;
}

/** Double-quantized block maxima: `DYNAMIC_MAP[code] * scale + offset`. */
export interface DoubleQuantized {
  /** `[rows * columns / 64]`. */
  readonly codes: Uint8Array;
  /** `[ceil(rows * columns / 64 / 256)]`. */
  readonly scales: Float32Array;
  /** `[1]`. */
  readonly offset: Float32Array;
}

/** A codebook weight on the host, codes unpacked. */
export interface CodebookData {
  /** Discriminates {@linkcode WeightData}. */
  readonly format: "codebook";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Columns of a block. */
  readonly blockColumns: number;
  /** `[rows, columns]`. */
  readonly codes: Uint8Array;
  /** `[rows, columns / blockColumns, 8]`. */
  readonly levels: Float32Array;
}

/** A weight on the host. */
export type WeightData = DenseData | IntegerData | Nf4Data | CodebookData;

/** A dense weight, uniform in [-1, 1); `name` selects the draws, here and below. */
export function randomDense(name: string, rows: number, columns: number): DenseData {
  return { format: "dense", rows, columns, values: randomFloats(name, rows * columns) };
}

/** Uniform codes, scales in [0.02, 0.2), fractional zeros over the range of the codes. */
export function randomInteger(
  name: string,
  rows: number,
  columns: number,
  bits: IntegerBits,
  blockRows: number,
  blockColumns: number,
): IntegerData {
  const blocks = rows / blockRows * (columns / blockColumns);
  return {
    format: "integer",
    rows,
    columns,
    bits,
    blockRows,
    blockColumns,
    codes: Uint8Array.from(randomIntegers(`${name} codes`, rows * columns, 2 ** bits)),
    scales: randomFloats(`${name} scales`, blocks, 0.02, 0.2),
    zeros: randomFloats(`${name} zeros`, blocks, 0, 2 ** bits - 1),
  };
}

/** Uniform codes with block maxima in [0.5, 1.5), double-quantized on request. */
export function randomNf4(
  name: string,
  rows: number,
  columns: number,
  absmax: "plain" | "double",
): Nf4Data {
  const blocks = rows * columns / NF4_BLOCK;
  return {
    format: "nf4",
    rows,
    columns,
    codes: Uint8Array.from(randomIntegers(`${name} codes`, rows * columns, 16)),
    absmax: absmax === "plain" ? randomFloats(`${name} absmax`, blocks, 0.5, 1.5) : {
      codes: Uint8Array.from(randomIntegers(`${name} absmax`, blocks, 256)),
      scales: randomFloats(`${name} scales`, Math.ceil(blocks / NF4_ABSMAX_BLOCK), 0.1, 0.4),
      offset: Float32Array.of(1),
    },
  };
}

/** Uniform codes, levels in [-1, 1). */
export function randomCodebook(
  name: string,
  rows: number,
  columns: number,
  blockColumns: number,
): CodebookData {
  const levels = CODEBOOK_LEVELS * rows * columns / blockColumns;
  return {
    format: "codebook",
    rows,
    columns,
    blockColumns,
    codes: Uint8Array.from(randomIntegers(`${name} codes`, rows * columns, CODEBOOK_LEVELS)),
    levels: randomFloats(`${name} levels`, levels),
  };
}

/** Makes a tensor with contents; how {@linkcode uploadWeight} puts data on a device. */
export type Place = (
  dtype: DType,
  shape: readonly number[],
  data: Float32Array | Uint32Array,
  label: string,
) => Tensor;

/** Allocates a tensor on a device and writes its contents. */
export function placeOn(device: Device): Place {
  return (dtype, shape, data, label) => {
    const tensor = device.tensor(dtype, shape, label);
    device.write(tensor, data);
    return tensor;
  };
}

/**
 * Uploads a weight, its codes packed.
 *
 * @example
 * ```ts
 * import { ReferenceDevice } from "../reference/device.ts";
 * import { placeOn, randomInteger, uploadWeight } from "./weights.ts";
 *
 * const device = new ReferenceDevice();
 * const weight = uploadWeight(randomInteger("w", 8, 64, 3, 1, 32), placeOn(device));
 * const output = device.tensor("f32", [8, 64], "dense");
 * device.run(device.record("dequantize", (operations) => operations.dequantize({ weight, output })));
 * ```
 */
export function uploadWeight(data: WeightData, place: Place, label = "weight"): Weight {
  const { rows, columns } = data;
  switch (data.format) {
    case "dense":
      return {
        format: "dense",
        rows,
        columns,
        values: place("f32", [rows, columns], data.values, `${label}.values`),
      };
    case "integer": {
      const { bits, blockRows, blockColumns } = data;
      const blocks = [rows / blockRows, columns / blockColumns];
      return {
        format: "integer",
        rows,
        columns,
        bits,
        blockRows,
        blockColumns,
        codes: place(
          "u32",
          [rows, codeWords(bits, columns)],
          packCodes(data.codes, bits, rows, columns),
          `${label}.codes`,
        ),
        scales: place("f32", blocks, data.scales, `${label}.scales`),
        zeros: place("f32", blocks, data.zeros, `${label}.zeros`),
      };
    }
    case "codebook": {
      const { blockColumns } = data;
      const words = packCodes(data.codes, 3, rows, columns);
      const shape = [rows, columns / blockColumns, CODEBOOK_LEVELS];
      return {
        format: "codebook",
        rows,
        columns,
        blockColumns,
        codes: place("u32", [rows, codeWords(3, columns)], words, `${label}.codes`),
        levels: place("f32", shape, data.levels, `${label}.levels`),
      };
    }
    case "nf4": {
      const codes = place(
        "u32",
        [rows, codeWords(4, columns)],
        packCodes(data.codes, 4, rows, columns),
        `${label}.codes`,
      );
      const { absmax } = data;
      if (absmax instanceof Float32Array) {
        const values = place("f32", [absmax.length], absmax, `${label}.absmax`);
        return { format: "nf4", rows, columns, codes, absmax: { kind: "plain", values } };
      }
      const words = bytesToWords(absmax.codes);
      return {
        format: "nf4",
        rows,
        columns,
        codes,
        absmax: {
          kind: "double",
          codes: place("u32", [words.length], words, `${label}.absmax codes`),
          scales: place("f32", [absmax.scales.length], absmax.scales, `${label}.absmax scales`),
          offset: place("f32", [1], absmax.offset, `${label}.absmax offset`),
        },
      };
    }
  }
}

/** The values that a weight stands for, `[rows, columns]` in float64. */
export function dequantized(data: WeightData): Float64Array {
  const { rows, columns } = data;
  switch (data.format) {
    case "dense":
      return Float64Array.from(data.values);
    case "integer":
      return dequantizeInteger(
        packCodes(data.codes, data.bits, rows, columns),
        Float64Array.from(data.scales),
        Float64Array.from(data.zeros),
        data,
      );
    case "codebook":
      return dequantizeCodebook(
        packCodes(data.codes, 3, rows, columns),
        Float64Array.from(data.levels),
        data,
      );
    case "nf4": {
      const { codes, absmax } = data;
      const maxima = absmax instanceof Float32Array ? Float64Array.from(absmax) : dequantizeAbsmax(
        bytesToWords(absmax.codes),
        Float64Array.from(absmax.scales),
        absmax.offset[0]!,
        absmax.codes.length,
      );
      return dequantizeNf4(packCodes(codes, 4, rows, columns), maxima, rows, columns);
    }
  }
}

/**
 * An upper bound of the terms that dequantization adds up, `[rows, columns]`: `scale * (code + |zero|)`
 * for integers, because a kernel may sum codes and zeros separately.
 */
export function weightMagnitudes(data: WeightData): Float64Array {
  switch (data.format) {
    case "dense":
    case "codebook":
      return dequantized(data).map(Math.abs);
    case "integer": {
      const { columns, blockRows, blockColumns, scales, zeros } = data;
      return Float64Array.from(data.codes, (code, index) => {
        const block = Math.floor(Math.floor(index / columns) / blockRows) *
            (columns / blockColumns) + Math.floor(index % columns / blockColumns);
        return Math.abs(scales[block]!) * (code + Math.abs(zeros[block]!));
      });
    }
    case "nf4": {
      const { absmax } = data;
      return Float64Array.from(data.codes, (code, index) => {
        const block = Math.floor(index / NF4_BLOCK);
        const maximum = absmax instanceof Float32Array
          ? absmax[block]!
          : Math.abs(DYNAMIC_MAP[absmax.codes[block]!]!) *
              absmax.scales[Math.floor(block / NF4_ABSMAX_BLOCK)]! + Math.abs(absmax.offset[0]!);
        return Math.abs(NF4_LEVELS[code]!) * maximum;
      });
    }
  }
}

function bytesToWords(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  bytes.forEach((byte, index) => words[Math.floor(index / 4)]! |= byte << (8 * (index % 4)));
  return words;
}
