/**
 * Reading the weights of linear layers from a model folder, in any format.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { HostWeight, WeightArray } from "../formats/host_weight.ts";
import type { TensorSource } from "../formats/hugging_face.ts";
import { widthsFit } from "../formats/mixed_weight.ts";
import type { LinearShape } from "./architecture.ts";
import { type ModuleFormat, type WeightPart, weightParts } from "./quantized_tensors.ts";

/**
 * Reads one linear layer's weight.
 *
 * @throws {UserError} If a tensor is missing, or does not have the shape or the values that the format
 * implies.
 */
export function readWeight(
  tensors: TensorSource,
  { path, rows, columns }: Pick<LinearShape, "path" | "rows" | "columns">,
  module: ModuleFormat | null,
): HostWeight {
  const arrays = new Map(
    weightParts(module, rows, columns).map(({ part, dtype, shape }) => {
      const name = `${path}.${part}`;
      expectShape(tensors, name, shape);
      return [part, readArray(tensors, name, dtype)];
    }),
  );
  const array = <Kind>(part: string) => arrays.get(part) as Kind; // weightParts lists it
  if (module === null) return { format: "dense", rows, columns, values: array("weight") };
  switch (module.format) {
    case "integer":
    case "ordered": {
      const integer = {
        rows,
        columns,
        bits: module.bits,
        blockRows: module.block_rows,
        blockColumns: module.group_size,
        codes: array<Uint32Array>("codes"),
        scales: array<Float32Array>("scales"),
        zeros: array<Float32Array>("zeros"),
      };
      if (module.format === "integer") return { format: "integer", ...integer };
      const order = array<Uint32Array>("order");
      if (order.some((input) => input >= columns) || new Set(order).size < columns) {
        throw new UserError(
          `${tensors.folder}: tensor "${path}.order" is no permutation of ${columns} inputs; the ` +
            `file is damaged`,
        );
      }
      return { format: "ordered", ...integer, order };
    }
    case "nf4":
      return {
        format: "nf4",
        rows,
        columns,
        codes: array("codes"),
        absmax: module.double_quantization
          ? {
            kind: "double",
            codes: array("absmax_codes"),
            scales: array("absmax_scales"),
            offset: array("absmax_offset"),
          }
          : { kind: "plain", values: array("absmax") },
      };
    case "mixed": {
      const widths = array<Uint8Array>("widths");
      if (!widthsFit(widths, module.bits)) {
        const found = widths.join(", ");
        throw new UserError(
          `${tensors.folder}: tensor "${path}.widths" is [${found}], but widths differ from ` +
            `${module.bits} by at most 1 and have it as their mean; the weights do not belong to ` +
            `this config.json`,
        );
      }
      return {
        format: "mixed",
        rows,
        columns,
        bits: module.bits,
        blockRows: 1,
        blockColumns: module.group_size,
        widths,
        codes: array("codes"),
        scales: array("scales"),
        zeros: array("zeros"),
      };
    }
    case "binary":
      return {
        format: "binary",
        rows,
        columns,
        blockColumns: module.group_size,
        codes: array("codes"),
        salient: array("salient"),
        scales: array("scales"),
        means: module.means ? array("means") : null,
      };
  }
}

function readArray(tensors: TensorSource, name: string, dtype: WeightPart["dtype"]): WeightArray {
  switch (dtype) {
    case "F32":
      return tensors.readFloats(name);
    case "U32":
      return new Uint32Array(tensors.readBytes(name).buffer);
    case "F16":
      return new Float16Array(tensors.readBytes(name).buffer);
    case "U8":
      return tensors.readBytes(name);
  }
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
