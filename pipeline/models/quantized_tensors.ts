/**
 * How a weight in any format lies in a model folder: `<path>.weight` for a dense one, else
 * `<path>.codes` and what belongs to them, with the format of each layer in `config.json` under
 * `quantization_config.modules`.
 *
 * @module
 */

import { type DType, type IntegerBits, NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../../kernels/device.ts";
import { codeWords } from "../../kernels/packing.ts";
import { UserError } from "../errors.ts";
import { sizeOf } from "../../kernels/device.ts";
import type { TensorSource } from "../formats/hugging_face.ts";
import type { Dtype } from "../formats/safetensors.ts";
import { type HostWeight, weightArrays } from "../formats/host_weight.ts";
import type { LinearShape } from "./architecture.ts";

/** Format of one quantized layer, as `config.json` states it. */
export type ModuleFormat =
  | {
    readonly format: "integer";
    readonly bits: IntegerBits;
    readonly block_rows: number;
    readonly group_size: number;
  }
  | { readonly format: "nf4"; readonly double_quantization: boolean };

/** Widths in which weights are stored, as safetensors names them. */
export type WeightDtype = "F32" | "F16" | "BF16";

/** A tensor ready to be written. */
export interface NamedTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly values: Float32Array | Uint32Array | Uint8Array;
}

/** The entry of a weight in `quantization_config.modules`; null for a dense weight. */
export function moduleFormat(weight: HostWeight): ModuleFormat | null {
  switch (weight.format) {
    case "dense":
      return null;
    case "integer":
      return {
        format: "integer",
        bits: weight.bits,
        block_rows: weight.blockRows,
        group_size: weight.blockColumns,
      };
    case "nf4":
      return { format: "nf4", double_quantization: weight.absmax.kind === "double" };
  }
}

/** One of the tensors that make up a weight. */
export interface WeightPart {
  /** What follows the path of the layer in the name of the tensor: "codes". */
  readonly part: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

/**
 * The tensors of a weight `[rows, columns]`, in a folder as on a device, in the order of
 * {@linkcode weightArrays}; `format` is null for a dense one.
 */
export function weightParts(
  format: ModuleFormat | null,
  rows: number,
  columns: number,
): WeightPart[] {
  if (format === null) return [{ part: "weight", dtype: "f32", shape: [rows, columns] }];
  if (format.format === "integer") {
    const blocks = [rows / format.block_rows, columns / format.group_size];
    return [
      { part: "codes", dtype: "u32", shape: [rows, codeWords(format.bits, columns)] },
      { part: "scales", dtype: "f32", shape: blocks },
      { part: "zeros", dtype: "f32", shape: blocks },
    ];
  }
  const blocks = rows * columns / NF4_BLOCK;
  const codes = { part: "codes", dtype: "u32", shape: [rows, codeWords(4, columns)] } as const;
  if (!format.double_quantization) {
    return [codes, { part: "absmax", dtype: "f32", shape: [blocks] }];
  }
  return [
    codes,
    { part: "absmax_codes", dtype: "u32", shape: [Math.ceil(blocks / 4)] },
    { part: "absmax_scales", dtype: "f32", shape: [Math.ceil(blocks / NF4_ABSMAX_BLOCK)] },
    { part: "absmax_offset", dtype: "f32", shape: [1] },
  ];
}

/** Bytes of the tensors of a weight in memory; a dense one is f32. */
export function formatBytes(format: ModuleFormat | null, rows: number, columns: number): number {
  return weightParts(format, rows, columns)
    .reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
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
    dtype: format === null ? dtype : element === "f32" ? "F32" : "U32",
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
    .map((outline, index) => ({ ...outline, values: arrays[index] as NamedTensor["values"] }));
}

/**
 * Reads one linear layer's weight.
 *
 * @throws {UserError} If a tensor is missing or does not have the shape that the format implies.
 */
export function readWeight(
  tensors: TensorSource,
  { path, rows, columns }: LinearShape,
  module: ModuleFormat | null,
): HostWeight {
  const arrays = new Map(
    weightParts(module, rows, columns).map(({ part, dtype, shape }) => {
      const name = `${path}.${part}`;
      expectShape(tensors, name, shape);
      const array = dtype === "f32"
        ? tensors.readFloats(name)
        : new Uint32Array(tensors.readBytes(name).buffer);
      return [part, array];
    }),
  );
  const floats = (part: string) => arrays.get(part) as Float32Array;
  const words = (part: string) => arrays.get(part) as Uint32Array;
  if (module === null) return { format: "dense", rows, columns, values: floats("weight") };
  if (module.format === "integer") {
    return {
      format: "integer",
      rows,
      columns,
      bits: module.bits,
      blockRows: module.block_rows,
      blockColumns: module.group_size,
      codes: words("codes"),
      scales: floats("scales"),
      zeros: floats("zeros"),
    };
  }
  return {
    format: "nf4",
    rows,
    columns,
    codes: words("codes"),
    absmax: module.double_quantization
      ? {
        kind: "double",
        codes: words("absmax_codes"),
        scales: floats("absmax_scales"),
        offset: floats("absmax_offset"),
      }
      : { kind: "plain", values: floats("absmax") },
  };
}

/** @throws {UserError} If the tensor is missing or has another shape. */
export function expectShape(tensors: TensorSource, name: string, shape: readonly number[]): void {
  const found = tensors.shape(name);
  if (found.join() !== shape.join()) {
    throw new UserError(
      `${tensors.folder}: tensor "${name}" has shape [${
        found.join(", ")
      }], but config.json implies ` +
        `[${shape.join(", ")}]; the weights do not belong to this config.json`,
    );
  }
}
