/**
 * Integer grids of blocks of weights, and the parameters that all quantizers on such grids share. The
 * grid is that of GPTQ (Frantar et al. 2023, `quant.py` of the released code): zero always lies
 * inside the range, so that it is represented exactly.
 *
 * @module
 */

import { z } from "zod";
import type { IntegerBits } from "../../kernels/device.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";

/** Fields of a quantizer's schema that say which blocks there are and what grids they get. */
export const gridFields = {
  bits: z.union([z.literal(2), z.literal(3), z.literal(4), z.literal(8)]).default(4)
    .describe("Width of a code."),
  group_size: z.int().positive().default(32)
    .describe("Consecutive inputs that share a scale and a zero; divides every layer's inputs."),
  block_rows: z.int().positive().default(1)
    .describe("Consecutive outputs that share them too; above 1 for QA-BLoRA's 2-D blocks."),
  symmetric: z.boolean().default(false)
    .describe("Same range on both sides of 0, with the zero fixed at 2^(bits - 1)."),
} as const;

/** Values of {@linkcode gridFields}. */
export interface GridParameters {
  /** Width of a code. */
  readonly bits: IntegerBits;
  /** Inputs of a block. */
  readonly group_size: number;
  /** Outputs of a block. */
  readonly block_rows: number;
  /** Whether the range is the same on both sides of 0. */
  readonly symmetric: boolean;
}

/** "INT4, blocks 1x32, 6 bits per weight": codes, and 32 bits each for a block's scale and zero. */
export function describeGrid(
  { bits, group_size, block_rows, symmetric }: GridParameters,
): string {
  const stored = bits + 64 / (group_size * block_rows);
  return `INT${bits}${symmetric ? " symmetric" : ""}, blocks ${block_rows}x${group_size}, ` +
    `${Number(stored.toFixed(3))} bits per weight`;
}

/** Format of the weights that lie on such grids. */
export function gridFormat(
  { bits, block_rows, group_size }: GridParameters,
): Extract<ModuleFormat, { readonly format: "integer" }> {
  return { format: "integer", bits, block_rows, group_size };
}

/** Smallest positive f32 that is not subnormal. */
const SMALLEST_NORMAL = 2 ** -126;

/** Integer grid of a block: `value = scale * (code - zero)`. */
export interface Grid {
  /** Step between neighbouring values; positive, exact in f32. */
  readonly scale: number;
  /** Integer-valued, in [0, 2^bits - 1]. */
  readonly zero: number;
}

/**
 * The grid for weights between `minimum` and `maximum`. The scale is rounded to f32 before the zero
 * is derived from it, because that is the scale that codes are read with.
 */
export function fitGrid(
  minimum: number,
  maximum: number,
  bits: number,
  symmetric: boolean,
): Grid {
  const top = 2 ** bits - 1;
  let low = Math.min(minimum, 0);
  let high = Math.max(maximum, 0);
  if (symmetric) {
    // The released code leaves `low` at 0 for a block without negative weights, which halves the
    // scale but not the zero and clips the upper half of the block; here the range is symmetric.
    high = Math.max(-low, high);
    low = -high;
  }
  // All weights 0, or so small that devices flush the scale to 0: any grid that holds 0 will do.
  if ((high - low) / top < SMALLEST_NORMAL) {
    low = -1;
    high = 1;
  }
  const scale = Math.fround((high - low) / top);
  return { scale, zero: symmetric ? 2 ** (bits - 1) : roundHalfToEven(-low / scale) };
}

/** The nearest code of a grid, clamped to its range. */
export function encode(value: number, grid: Grid, bits: number): number {
  const code = roundHalfToEven(value / grid.scale) + grid.zero;
  return Math.min(Math.max(code, 0), (1 << bits) - 1);
}

/** 1.5 * 2^52: adding it leaves no bits for a fraction, and IEEE 754 rounds ties to even. */
const INTEGER_MAGIC = 6755399441055744;

/** The nearest integer, the even one of two, as kernels round. */
export function roundHalfToEven(value: number): number {
  return value + INTEGER_MAGIC - INTEGER_MAGIC;
}
