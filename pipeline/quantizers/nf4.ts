// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * NF4 and double quantization of QLoRA (Dettmers et al. 2023, section 3), as the released
 * bitsandbytes code computes them: blocks of 64 consecutive inputs scaled by their largest
 * magnitude, each weight coded as the nearest of 16 levels, and the block maxima themselves coded in
 * 8 bits after subtracting their mean.
 *
 * @module
 */

import { z } from "zod";
import { NF4_ABSMAX_BLOCK, NF4_BLOCK } from "../../kernels/device.ts";
import { DYNAMIC_MAP, NF4_LEVELS } from "../../kernels/nf4.ts";
import { packCodes } from "../../kernels/packing.ts";
import { UserError } from "../errors.ts";
import type { HostNf4Absmax, HostNf4Weight } from "../formats/host_weight.ts";
import { checkWeights, type Quantizer } from "./quantizer.ts";

const parameters = z.strictObject({
  method: z.literal("nf4"),
  double_quantization: z.boolean().default(true)
    .describe("Store block maxima in 8 bits instead of 32 (saves 0.373 bits per weight)."),
});

/** Parameters of {@linkcode nf4}. */
export type Nf4Parameters = z.output<typeof parameters>;

const NF4_THRESHOLDS = midpoints(NF4_LEVELS);
const DYNAMIC_THRESHOLDS = midpoints(DYNAMIC_MAP);
const NF4_ZERO = NF4_LEVELS.indexOf(0);
const DYNAMIC_ZERO = DYNAMIC_MAP.indexOf(0);

function midpoints(levels: readonly number[]): Float64Array {
  return Float64Array.from(
    { length: levels.length - 1 },
    (_, index) => (levels[index]! + levels[index + 1]!) / 2,
  );
}

/** Index of the nearest level: the number of thresholds below `value`, so a tie goes down. */
function nearest(value: number, thresholds: Float64Array): number {
  let low = 0;
  let high = thresholds.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (value > thresholds[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** 4-bit NormalFloat in blocks of 64, with or without double quantization. */
export const nf4: Quantizer<Nf4Parameters> = {
  name: "nf4",
  summary: "4-bit NormalFloat in blocks of 64 with double quantization (QLoRA)",
  parameters,
  describe({ double_quantization }) {
    const bits = 4 +
      (double_quantization ? 8 / NF4_BLOCK + 32 / (NF4_BLOCK * NF4_ABSMAX_BLOCK) : 32 / NF4_BLOCK);
    return `NF4, blocks 1x${NF4_BLOCK}${double_quantization ? ", double quantization" : ""}, ` +
      `${Number(bits.toFixed(3))} bits per weight`;
  },
  format: ({ double_quantization }) => ({ format: "nf4", double_quantization }),
  quantize(weights, rows, columns, { double_quantization }, layer): HostNf4Weight {
    if (columns % NF4_BLOCK !== 0) {
      throw new UserError(
        `Cannot quantize ${layer}: NF4's block of ${NF4_BLOCK} does not divide its ${columns} ` +
          `inputs; use rtn with a group_size that does`,
      );
    }
    checkWeights(weights, rows, columns, layer);
    const absmax = new Float32Array(weights.length / NF4_BLOCK);
    const codes = new Uint8Array(weights.length);
    for (let block = 0; block < absmax.length; block++) {
      const start = block * NF4_BLOCK;
      let maximum = 0;
      for (let index = start; index < start + NF4_BLOCK; index++) {
        maximum = Math.max(maximum, Math.abs(weights[index]!));
      }
      absmax[block] = maximum;
      for (let index = start; index < start + NF4_BLOCK; index++) {
        codes[index] = maximum === 0
          ? NF4_ZERO
          : nearest(weights[index]! / maximum, NF4_THRESHOLDS);
      }
    }
    return {
      format: "nf4",
      rows,
      columns,
      codes: packCodes(codes, 4, rows, columns),
      absmax: double_quantization ? quantizeAbsmax(absmax) : { kind: "plain", values: absmax },
    };
  },
};

/** Double quantization: `absmax = DYNAMIC_MAP[code] * scale(block of 256) + mean`. */
function quantizeAbsmax(absmax: Float32Array): HostNf4Absmax {
  const mean = Math.fround(absmax.reduce((sum, value) => sum + value, 0) / absmax.length);
  const scales = new Float32Array(Math.ceil(absmax.length / NF4_ABSMAX_BLOCK));
  const codes = new Uint32Array(Math.ceil(absmax.length / 4));
  for (let block = 0; block < scales.length; block++) {
    const start = block * NF4_ABSMAX_BLOCK;
    const end = Math.min(start + NF4_ABSMAX_BLOCK, absmax.length);
    let scale = 0;
    for (let index = start; index < end; index++) {
      scale = Math.max(scale, Math.abs(Math.fround(absmax[index]! - mean)));
    }
    scales[block] = scale;
    for (let index = start; index < end; index++) {
      const code = scale === 0
        ? DYNAMIC_ZERO
        : nearest(Math.fround(absmax[index]! - mean) / scale, DYNAMIC_THRESHOLDS);
      codes[index >>> 2]! |= code << (8 * (index & 3));
    }
  }
  return { kind: "double", codes, scales, offset: Float32Array.of(mean) };
}
