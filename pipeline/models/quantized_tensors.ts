/**
 * How a weight in any format lies in a model folder: `<path>.weight` for a dense one, else
 * `<path>.codes` and what belongs to them, with the format of each layer in `config.json` under
 * `quantization_config.modules`.
 *
 * @module
 */

import {
  CODEBOOK_LEVELS,
  type IntegerBits,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
} from "../../kernels/device.ts";
import { codeWords } from "../../kernels/packing.ts";
import { BINARY_MEANS, BINARY_SCALES } from "../formats/binary_weight.ts";
import type { MixedBits } from "../formats/mixed_weight.ts";
import type { Dtype, TensorValues } from "../formats/safetensors.ts";
import { DTYPE_BYTES, elementCount } from "../formats/safetensors_header.ts";
import { type HostWeight, weightArrays } from "../formats/host_weight.ts";
import type { LinearShape } from "./architecture.ts";

interface IntegerBlocks {
  readonly bits: IntegerBits;
  readonly block_rows: number;
  readonly group_size: number;
}

/** Format of one quantized layer, as `config.json` states it. */
export type ModuleFormat =
  | { readonly format: "integer" } & IntegerBlocks
  | { readonly format: "ordered" } & IntegerBlocks
  | { readonly format: "nf4"; readonly double_quantization: boolean }
  | { readonly format: "mixed"; readonly bits: MixedBits; readonly group_size: number }
  | { readonly format: "binary"; readonly group_size: number; readonly means: boolean };

/** 3-bit codes with eight values for each row of a block: only devices have such weights. */
export interface CodebookFormat {
  readonly format: "codebook";
  readonly group_size: number;
}

/** Widths in which weights are stored, as safetensors names them. */
export type WeightDtype = "F32" | "F16" | "BF16";

/** A tensor ready to be written. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

/** The entry of a weight in `quantization_config.modules`; null for a dense weight. */
export function moduleFormat(weight: HostWeight): ModuleFormat | null {
  switch (weight.format) {
    case "dense":
      return null;
    case "integer":
    case "ordered":
      return {
        format: weight.format,
        bits: weight.bits,
        block_rows: weight.blockRows,
        group_size: weight.blockColumns,
      };
    case "nf4":
      return { format: "nf4", double_quantization: weight.absmax.kind === "double" };
    case "mixed":
      return { format: "mixed", bits: weight.bits, group_size: weight.blockColumns };
    case "binary":
      return { format: "binary", group_size: weight.blockColumns, means: weight.means !== null };
  }
}

/**
 * Outputs and inputs of the blocks that share a zero point, where those are consecutive; null where
 * there are no zero points, or none of consecutive inputs.
 */
export function zeroBlock(
  format: ModuleFormat | null,
): { readonly rows: number; readonly columns: number } | null {
  switch (format?.format) {
    case "integer":
      return { rows: format.block_rows, columns: format.group_size };
    case "mixed":
      return { rows: 1, columns: format.group_size };
    default:
      return null;
  }
}

/** One of the tensors that make up a weight. */
export interface WeightPart {
  /** What follows the path of the layer in the name of the tensor: "codes". */
  readonly part: string;
  readonly dtype: "F32" | "U32" | "F16" | "U8";
  readonly shape: readonly number[];
}

/**
 * The tensors of a weight `[rows, columns]` in a folder or on a device, in the order of {@linkcode weightArrays};
 * `format` is null for a dense one.
 */
export function weightParts(
  format: ModuleFormat | CodebookFormat | null,
  rows: number,
  columns: number,
): WeightPart[] {
  if (format === null) return [{ part: "weight", dtype: "F32", shape: [rows, columns] }];
  switch (format.format) {
    case "integer":
      return integerParts(format, rows, columns);
    case "ordered":
      return [
        ...integerParts(format, rows, columns),
        { part: "order", dtype: "U32", shape: [columns] },
      ];
    case "codebook": {
      const levels = [rows, columns / format.group_size, CODEBOOK_LEVELS];
      return [
        { part: "codes", dtype: "U32", shape: [rows, codeWords(3, columns)] },
        { part: "levels", dtype: "F32", shape: levels },
      ];
    }
    case "nf4":
      return nf4Parts(format.double_quantization, rows, columns);
    case "mixed": {
      const groups = columns / format.group_size;
      return [
        { part: "codes", dtype: "U8", shape: [rows, columns * format.bits / 8] },
        { part: "scales", dtype: "F32", shape: [rows, groups] },
        { part: "zeros", dtype: "F32", shape: [rows, groups] },
        { part: "widths", dtype: "U8", shape: [groups] },
      ];
    }
    case "binary": {
      const blocks = columns / format.group_size;
      const means = { part: "means", dtype: "F16", shape: [rows, blocks, BINARY_MEANS] } as const;
      return [
        { part: "codes", dtype: "U32", shape: [rows, codeWords(2, columns)] },
        { part: "salient", dtype: "U8", shape: [Math.ceil(columns / 8)] },
        { part: "scales", dtype: "F16", shape: [rows, blocks, BINARY_SCALES] },
        ...(format.means ? [means] : []),
      ];
    }
  }
}

function integerParts(
  { bits, block_rows, group_size }: IntegerBlocks,
  rows: number,
  columns: number,
): WeightPart[] {
  const blocks = [rows / block_rows, columns / group_size];
  return [
    { part: "codes", dtype: "U32", shape: [rows, codeWords(bits, columns)] },
    { part: "scales", dtype: "F32", shape: blocks },
    { part: "zeros", dtype: "F32", shape: blocks },
  ];
}

function nf4Parts(doubleQuantization: boolean, rows: number, columns: number): WeightPart[] {
  const blocks = rows * columns / NF4_BLOCK;
  const codes = { part: "codes", dtype: "U32", shape: [rows, codeWords(4, columns)] } as const;
  if (!doubleQuantization) return [codes, { part: "absmax", dtype: "F32", shape: [blocks] }];
  return [
    codes,
    { part: "absmax_codes", dtype: "U32", shape: [Math.ceil(blocks / 4)] },
    { part: "absmax_scales", dtype: "F32", shape: [Math.ceil(blocks / NF4_ABSMAX_BLOCK)] },
    { part: "absmax_offset", dtype: "F32", shape: [1] },
  ];
}

/** Bytes of the tensors of a weight in host memory; a dense one is f32. */
export function formatBytes(
  format: ModuleFormat | CodebookFormat | null,
  rows: number,
  columns: number,
): number {
  return weightParts(format, rows, columns)
    .reduce((sum, { dtype, shape }) => sum + DTYPE_BYTES[dtype] * elementCount(shape), 0);
}

/** A tensor of a model folder, before its values. */
export type TensorOutline = Omit<NamedTensor, "values">;

/** The tensors of a weight in a folder; a dense one is written in `dtype`. */
export function weightOutlines(
  { path, rows, columns }: Pick<LinearShape, "path" | "rows" | "columns">,
  format: ModuleFormat | null,
  dtype: WeightDtype = "F32",
): TensorOutline[] {
  return weightParts(format, rows, columns).map(({ part, dtype: element, shape }) => ({
    name: `${path}.${part}`,
    dtype: format === null ? dtype : element,
    shape,
  }));
}

/** The tensors of a weight with their values; a dense one is written in `dtype`. */
export function weightTensors(
  path: string,
  weight: HostWeight,
  dtype: WeightDtype = "F32",
): NamedTensor[] {
  const arrays = weightArrays(weight);
  return weightOutlines({ ...weight, path }, moduleFormat(weight), dtype)
    .map((outline, index) => {
      const array = arrays[index] as typeof arrays[number];
      const values = array instanceof Float16Array
        ? new Uint16Array(array.buffer, array.byteOffset, array.length)
        : array;
      return { ...outline, values };
    });
}
