/**
 * The format in which a device holds a weight. Kernels read most formats as they are stored; the
 * others become the smallest format of kernels that represents them exactly.
 *
 * - Codes of mixed widths become integer codes of one width that holds them all (3 bits for a mean of
 *   2, 4 for 3, 8 for 4), with the same scales and zeros.
 * - Codes in another order than inputs are on no grid of consecutive inputs: they become f32.
 * - Binary weights have eight values in a row of a block, on no grid: they become 3-bit codes with a
 *   table of these values, if blocks are whole chunks of packed codes, else f32.
 *
 * @module
 */

import type { IntegerBits } from "../../kernels/device.ts";
import { CHUNK, packCodes } from "../../kernels/packing.ts";
import { binaryCodebook } from "../formats/binary_weight.ts";
import { dequantizeHost, type HostKernelWeight, type HostWeight } from "../formats/host_weight.ts";
import { type MixedBits, unpackMixedCodes } from "../formats/mixed_weight.ts";
import type { CodebookFormat, ModuleFormat } from "./quantized_tensors.ts";

/** A format that kernels read directly. */
export type KernelFormat =
  | Extract<ModuleFormat, { readonly format: "integer" | "nf4" }>
  | CodebookFormat;

/** The narrowest codes of kernels that are one bit wider than the mean. */
const KERNEL_BITS: Readonly<Record<MixedBits, IntegerBits>> = { 2: 3, 3: 4, 4: 8 };

/** The format that a weight stored in `format` has on a device; null is that of a dense one. */
export function deviceFormat(format: ModuleFormat | null): KernelFormat | null {
  switch (format?.format) {
    case undefined:
    case "ordered":
      return null;
    case "binary":
      return format.group_size % CHUNK === 0
        ? { format: "codebook", group_size: format.group_size }
        : null;
    case "mixed":
      return {
        format: "integer",
        bits: KERNEL_BITS[format.bits],
        block_rows: 1,
        group_size: format.group_size,
      };
    default:
      return format;
  }
}

/** The same matrix in its {@linkcode deviceFormat}; the weight itself where that is its own. */
export function deviceWeight(weight: HostWeight): HostKernelWeight {
  switch (weight.format) {
    case "ordered":
      return dense(weight);
    case "binary":
      return weight.blockColumns % CHUNK === 0 ? binaryCodebook(weight) : dense(weight);
    case "mixed": {
      const { rows, columns, blockRows, blockColumns, scales, zeros } = weight;
      const bits = KERNEL_BITS[weight.bits];
      const codes = unpackMixedCodes(weight.codes, weight.widths, rows, blockColumns);
      return {
        format: "integer",
        rows,
        columns,
        bits,
        blockRows,
        blockColumns,
        codes: packCodes(codes, bits, rows, columns),
        scales,
        zeros,
      };
    }
    default:
      return weight;
  }
}

function dense(weight: HostWeight): HostKernelWeight {
  const { rows, columns } = weight;
  return { format: "dense", rows, columns, values: dequantizeHost(weight) };
}
