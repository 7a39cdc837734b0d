// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Weights as bitsandbytes stores them in 4 bits, as NF4 weights of this project.
 *
 * Two codes are in a byte, the first in its upper half; blocks are of 64 values in row-major order.
 * With double quantization the block maxima are 8-bit codes of a table, in blocks of 256, less their
 * mean (QLoRA, Dettmers et al. 2023, section 3; layout of bitsandbytes' `QuantState.as_dict`).
 *
 * @module
 */

import { z } from "zod";
import { NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../../kernels/device.ts";
import { DYNAMIC_MAP, NF4_LEVELS } from "../../kernels/nf4.ts";
import { UserError } from "../errors.ts";
import type { HostNf4Absmax, HostNf4Weight } from "./host_weight.ts";

/** What follows `path.weight.` in the name of the tensor that describes an NF4 weight. */
export const NF4_STATE = "quant_state.bitsandbytes__nf4";

/** The same of a weight in 4-bit floats, which this project has no format for. */
export const FP4_STATE = "quant_state.bitsandbytes__fp4";

/** What `quant_state` says, a JSON text in a tensor of bytes. */
export interface Nf4State {
  /** Whether block maxima are quantized themselves. */
  readonly nested: boolean;
  /** Mean of the block maxima; 0 where they are not quantized. */
  readonly offset: number;
}

const schema = z.object({
  quant_type: z.literal("nf4"),
  blocksize: z.literal(NF4_BLOCK),
  shape: z.tuple([z.int(), z.int()]),
  nested_blocksize: z.literal(NF4_ABSMAX_BLOCK).optional(),
  nested_offset: z.number().optional(),
}).refine(
  ({ nested_blocksize, nested_offset }) =>
    (nested_blocksize === undefined) === (nested_offset === undefined),
  {
    message: "nested_blocksize and nested_offset come together",
  },
);

/** The tensors of one linear layer, behind `path.weight`. */
export interface Nf4Tensors {
  /** Two codes a byte, `[rows * columns / 2]`. */
  readonly weight: Uint8Array;
  /** Maxima of blocks as they are, or codes of them. */
  readonly absmax: Float32Array | Uint8Array;
  /** The 16 values of codes. */
  readonly levels: Float32Array;
  /** The maxima of blocks of maxima, and the 256 values of their codes; null for plain maxima. */
  readonly nested: { readonly absmax: Float32Array; readonly levels: Float32Array } | null;
}

/**
 * Reads the description of a weight.
 *
 * @param name Of its tensor, for messages.
 * @throws {UserError} If it is malformed, or not of blocks of 64 of a `[rows, columns]` matrix.
 */
export function parseNf4State(
  bytes: Uint8Array,
  rows: number,
  columns: number,
  name: string,
): Nf4State {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new UserError(`${name} holds no JSON text; the file is damaged`);
  }
  const state = schema.safeParse(json);
  if (!state.success) {
    throw new UserError(
      `${name}: this version reads NF4 in blocks of ${NF4_BLOCK}, nested ones of ` +
        `${NF4_ABSMAX_BLOCK}: ${z.prettifyError(state.error)}`,
    );
  }
  const { shape, nested_offset } = state.data;
  if (shape[0] !== rows || shape[1] !== columns) {
    throw new UserError(
      `${name}: the weight is ${shape.join(" x ")}, but config.json implies ${rows} x ${columns}`,
    );
  }
  if (columns % NF4_BLOCK !== 0) {
    throw new UserError(
      `${name}: blocks of ${NF4_BLOCK} weights do not divide its ${columns} inputs, so that some ` +
        `span two outputs; this version has no format for that`,
    );
  }
  return { nested: nested_offset !== undefined, offset: nested_offset ?? 0 };
}

/**
 * A weight from its tensors: the very codes; block maxima as they are stored.
 *
 * @param layer Names the layer in errors.
 * @throws {UserError} If the values of codes are other ones than this project's kernels have.
 */
export function fromNf4(
  { weight, absmax, levels, nested }: Nf4Tensors,
  { offset }: Nf4State,
  { rows, columns }: { readonly rows: number; readonly columns: number },
  layer: string,
): HostNf4Weight {
  checkLevels(levels, NF4_LEVELS, `${layer}.weight.quant_map`);
  const codes = new Uint32Array(weight.slice().buffer);
  for (let index = 0; index < codes.length; index++) {
    const word = codes[index]!;
    codes[index] = (word & 0x0f0f0f0f) << 4 | word >>> 4 & 0x0f0f0f0f;
  }
  const common = { format: "nf4", rows, columns, codes } as const;
  if (absmax instanceof Float32Array) {
    return { ...common, absmax: { kind: "plain", values: absmax } };
  }
  if (nested === null) {
    throw new UserError(`${layer}.weight.absmax holds codes, but nothing says of what`);
  }
  checkLevels(nested.levels, DYNAMIC_MAP, `${layer}.weight.nested_quant_map`);
  const padded = new Uint8Array(4 * Math.ceil(absmax.length / 4));
  padded.set(absmax);
  const double: HostNf4Absmax = {
    kind: "double",
    codes: new Uint32Array(padded.buffer),
    scales: nested.absmax,
    offset: Float32Array.of(offset),
  };
  return { ...common, absmax: double };
}

/**
 * A table of values belongs to the checkpoint, but kernels have their own, as those of bitsandbytes do.
 * Its releases computed them in ways that differ in the last bits of f32.
 */
const RELATIVE_TOLERANCE = 1e-6;

function checkLevels(found: Float32Array, wanted: readonly number[], name: string): void {
  if (found.length !== wanted.length) {
    throw new UserError(`${name} has ${found.length} values; a code stands for ${wanted.length}`);
  }
  wanted.forEach((level, code) => {
    if (Math.abs(level - found[code]!) <= RELATIVE_TOLERANCE * Math.abs(level)) return;
    throw new UserError(
      `${name} gives code ${code} the value ${
        found[code]
      }, but in the table of bitsandbytes, which ` +
        `this version reads, it is ${level}; the checkpoint is of another data type`,
    );
  });
}
