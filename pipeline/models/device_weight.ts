/**
 * Weights of linear layers in device memory: allocated from their format alone, filled from the host.
 *
 * @module
 */

import type { Device, Tensor, Weight } from "../../kernels/device.ts";
import { type HostWeight, weightArrays } from "../formats/host_weight.ts";
import { deviceFormat, deviceWeight } from "./device_format.ts";
import { type ModuleFormat, moduleFormat, weightParts } from "./quantized_tensors.ts";

/** A matrix `[rows, columns]` and its name in memory listings and errors. */
export interface WeightShape {
  readonly path: string;
  readonly rows: number;
  readonly columns: number;
}

/**
 * Allocates a weight that is stored in `format`, null for a dense one, as a device holds it
 * ({@linkcode deviceFormat}).
 *
 * @throws {RangeError} If a tensor is larger than the device allows.
 */
export function allocateWeight(
  device: Device,
  { path, rows, columns }: WeightShape,
  stored: ModuleFormat | null,
): Weight {
  const format = deviceFormat(stored);
  const tensors = new Map(
    weightParts(format, rows, columns).map(({ part, dtype, shape }) => [
      part,
      device.tensor(dtype === "F32" ? "f32" : "u32", shape, `${path}.${part}`),
    ]),
  );
  const tensor = (part: string) => tensors.get(part) as Tensor;
  if (format === null) return { format: "dense", rows, columns, values: tensor("weight") };
  const codes = tensor("codes");
  if (format.format === "integer") {
    const { bits, block_rows: blockRows, group_size: blockColumns } = format;
    const [scales, zeros] = [tensor("scales"), tensor("zeros")];
    return {
      format: "integer",
      rows,
      columns,
      bits,
      blockRows,
      blockColumns,
      codes,
      scales,
      zeros,
    };
  }
  if (format.format === "codebook") {
    const levels = tensor("levels");
    return { format: "codebook", rows, columns, blockColumns: format.group_size, codes, levels };
  }
  return {
    format: "nf4",
    rows,
    columns,
    codes,
    absmax: format.double_quantization
      ? {
        kind: "double",
        codes: tensor("absmax_codes"),
        scales: tensor("absmax_scales"),
        offset: tensor("absmax_offset"),
      }
      : { kind: "plain", values: tensor("absmax") },
  };
}

/** The tensors of a weight, in the order of `weightArrays` of the host's mirror. */
export function weightTensors(weight: Weight): readonly Tensor[] {
  switch (weight.format) {
    case "dense":
      return [weight.values];
    case "integer":
      return [weight.codes, weight.scales, weight.zeros];
    case "codebook":
      return [weight.codes, weight.levels];
    case "nf4":
      return weight.absmax.kind === "plain"
        ? [weight.codes, weight.absmax.values]
        : [weight.codes, weight.absmax.codes, weight.absmax.scales, weight.absmax.offset];
  }
}

/**
 * Copies values into an allocated weight.
 *
 * @throws {RangeError} If the host's weight has another format or shape.
 */
export function fillWeight(device: Device, weight: Weight, stored: HostWeight): void {
  const host = deviceWeight(stored);
  const tensors = weightTensors(weight);
  const arrays = weightArrays(host);
  const fits = host.format === weight.format && tensors.length === arrays.length &&
    tensors.every(({ size }, index) => size === arrays[index]?.length);
  if (!fits) {
    throw new RangeError(
      `Cannot fill "${tensors[0]?.label}": a ${weight.format} weight of ${weight.rows} x ` +
        `${weight.columns} was allocated, but the values are ${host.format}, ${host.rows} x ` +
        `${host.columns}, in another format or shape`,
    );
  }
  tensors.forEach((tensor, index) => {
    device.write(tensor, arrays[index] as typeof arrays[number]);
  });
}

/** Copies a weight to a device: {@linkcode allocateWeight} and {@linkcode fillWeight}. */
export function upload(device: Device, host: HostWeight, path: string): Weight {
  const weight = allocateWeight(device, { ...host, path }, moduleFormat(host));
  fillWeight(device, weight, host);
  return weight;
}
