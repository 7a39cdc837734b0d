/**
 * Linear layers on dense and packed weights. Packed weights are decoded in registers or workgroup
 * memory; no decoded copy of one ever exists in device memory, except by `dequantize`.
 *
 * @module
 */

import type { Operations, Tensor, Weight } from "../device.ts";
import { checkDequantize, checkLinear, checkLinearTransposed } from "../shapes.ts";
import { decoderOf, type PackedWeight } from "./decode.ts";
import { copy } from "./elementwise.ts";
import { perElement } from "./per_element.ts";
import { product } from "./product.ts";
import type { Addend, Product } from "./product_types.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf, weightLayouts, weightRows } from "./shards.ts";
import { u32 } from "./wgsl.ts";

/** {@linkcode Operations.linear}, and the product of an adapter in the same pass. */
export function linear(
  context: KernelContext,
  args: Parameters<Operations["linear"]>[0],
  addend?: Addend,
): Dispatch[] {
  const { input, weight, bias = null, output, accumulate = false } = args;
  return product(context, {
    label: "linear",
    ...checkLinear(args),
    ...(addend ? { addend } : {}),
    left: { tensor: input, transposed: false },
    right: factor(weight, true),
    output,
    bias,
    scale: 1,
    accumulate,
  });
}

/** {@linkcode Operations.linearTransposed}. */
export function linearTransposed(
  context: KernelContext,
  args: Parameters<Operations["linearTransposed"]>[0],
): Dispatch[] {
  const { gradOutput, weight, gradInput, accumulate = false } = args;
  // The layer's outputs are the reduction here, its inputs the columns.
  const { M, N, K } = checkLinearTransposed(args);
  return product(context, {
    label: "linearTransposed",
    M,
    N: K,
    K: N,
    left: { tensor: gradOutput, transposed: false },
    right: factor(weight, false),
    output: gradInput,
    bias: null,
    scale: 1,
    accumulate,
  });
}

/** {@linkcode Operations.dequantize}. */
export function dequantize(
  context: KernelContext,
  args: Parameters<Operations["dequantize"]>[0],
): Dispatch[] {
  const { weight, output } = args;
  const { rows } = checkDequantize(args);
  if (weight.format === "dense") return copy(context, { input: weight.values, output });
  const layout = rowLayout(output, rows);
  return rowRanges(context.profile, rows, [...weightLayouts(weight), layout]).map((range) =>
    dequantizeRows(context, weightRows(weight, range), rowsOf(layout, range))
  );
}

function dequantizeRows(
  { profile }: KernelContext,
  weight: PackedWeight,
  output: Tensor,
): Dispatch {
  const { rows, columns } = weight;
  const decoder = decoderOf(weight);
  return perElement(profile, {
    label: `dequantize ${decoder.name}`,
    size: rows * Math.ceil(columns / 8),
    storage: [
      ...decoder.storage,
      { name: "output", tensor: output, access: "read_write", element: "vec4<f32>" },
    ],
    uniforms: { columns: u32(columns), ...decoder.uniforms },
    declarations: decoder.declarations,
    code: `  let octets = (parameters.columns + 7u) / 8u;
  let row = index / octets;
  let octet = index % octets;
  let weights = weightsAt(row, octet);
  let first = (row * parameters.columns + octet * 8u) / 4u;
  output[first] = weights.low;
  if (octet * 8u + 4u < parameters.columns) { output[first + 1u] = weights.high; }`,
  });
}

/** A weight as the right factor of a product. */
export function factor(weight: Weight, transposed: boolean): Product["right"] {
  return weight.format === "dense" ? { tensor: weight.values, transposed } : { weight, transposed };
}
