/**
 * How a weight in any format lies in a model folder: `<path>.weight` for a dense one, else
 * `<path>.codes` and what belongs to them, with the format of each layer in `config.json` under
 * `quantization_config.modules`.
 *
 * @module
 */

import type { IntegerBits } from "../../kernels/device.ts";
import { codeWords } from "../../kernels/packing.ts";
import { UserError } from "../errors.ts";
import type { TensorSource } from "../formats/hugging_face.ts";
import type { Dtype } from "../formats/safetensors.ts";
import type { HostWeight } from "../formats/host_weight.ts";
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

/** The tensors of a weight; a dense one is written in `dtype`. */
export function weightTensors(
  path: string,
  weight: HostWeight,
  dtype: WeightDtype = "F32",
): NamedTensor[] {
  const { rows, columns } = weight;
  switch (weight.format) {
    case "dense":
      return [{ name: `${path}.weight`, dtype, shape: [rows, columns], values: weight.values }];
    case "integer": {
      const shape = [rows / weight.blockRows, columns / weight.blockColumns];
      const words = [rows, codeWords(weight.bits, columns)];
      return [
        { name: `${path}.codes`, dtype: "U32", shape: words, values: weight.codes },
        { name: `${path}.scales`, dtype: "F32", shape, values: weight.scales },
        { name: `${path}.zeros`, dtype: "F32", shape, values: weight.zeros },
      ];
    }
    case "nf4": {
      const { codes, absmax } = weight;
      const words = [rows, codeWords(4, columns)];
      const flat = (part: string, values: Float32Array | Uint32Array): NamedTensor => ({
        name: `${path}.${part}`,
        dtype: values instanceof Float32Array ? "F32" : "U32",
        shape: [values.length],
        values,
      });
      return [
        { name: `${path}.codes`, dtype: "U32", shape: words, values: codes },
        ...(absmax.kind === "plain" ? [flat("absmax", absmax.values)] : [
          flat("absmax_codes", absmax.codes),
          flat("absmax_scales", absmax.scales),
          flat("absmax_offset", absmax.offset),
        ]),
      ];
    }
  }
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
  const expect = (part: string, shape: readonly number[]): string => {
    const name = `${path}.${part}`;
    expectShape(tensors, name, shape);
    return name;
  };
  if (module === null) {
    const values = tensors.readFloats(expect("weight", [rows, columns]));
    return { format: "dense", rows, columns, values };
  }
  const words = (name: string) => new Uint32Array(tensors.readBytes(name).buffer);
  if (module.format === "integer") {
    const { bits, block_rows: blockRows, group_size: blockColumns } = module;
    const blocks = [rows / blockRows, columns / blockColumns];
    return {
      format: "integer",
      rows,
      columns,
      bits,
      blockRows,
      blockColumns,
      codes: words(expect("codes", [rows, codeWords(bits, columns)])),
      scales: tensors.readFloats(expect("scales", blocks)),
      zeros: tensors.readFloats(expect("zeros", blocks)),
    };
  }
  const codes = words(expect("codes", [rows, codeWords(4, columns)]));
  const blocks = rows * columns / 64;
  if (!module.double_quantization) {
    const values = tensors.readFloats(expect("absmax", [blocks]));
    return { format: "nf4", rows, columns, codes, absmax: { kind: "plain", values } };
  }
  return {
    format: "nf4",
    rows,
    columns,
    codes,
    absmax: {
      kind: "double",
      codes: words(expect("absmax_codes", [Math.ceil(blocks / 4)])),
      scales: tensors.readFloats(expect("absmax_scales", [Math.ceil(blocks / 256)])),
      offset: tensors.readFloats(expect("absmax_offset", [1])),
    },
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
