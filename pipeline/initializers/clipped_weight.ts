// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * A weight on the grid that ApiQ learned, as the integer format stores it.
 *
 * @module
 */

import type { IntegerBits } from "../../kernels/device.ts";
import { packCodes } from "../../kernels/packing.ts";
import type { HostIntegerWeight } from "../formats/host_weight.ts";
import { encode, roundHalfToEven } from "../quantizers/integer_grid.ts";

/** The grid of a layer's groups; see `ClippedGrid` in `kernels/device.ts`. */
export interface ClippedGridSettings {
  /** Width of a code. */
  readonly bits: IntegerBits;
  /** Consecutive inputs of one output that share a grid. */
  readonly groupSize: number;
  /** Whether zero is the middle of the codes. */
  readonly symmetric: boolean;
  /** Whether zero is always a value of the grid. */
  readonly containsZero: boolean;
}

const [LEAST_SCALE, LARGEST_SCALE] = [1e-5, 1e4];
const LARGEST_ZERO = 1e4;

/**
 * What `clippedQuantize` makes of a weight, in codes: those are always within the format. Zeros may lie
 * outside the codes' range where a group has weights of one sign only; they are floats here, so nothing
 * is clamped that the released code could not pack.
 *
 * @param weights `[rows, columns]`, row-major.
 * @param upper Logits, `[rows * columns / groupSize]`.
 * @param lower Like `upper`.
 */
export function clippedWeight(
  weights: Float32Array,
  rows: number,
  columns: number,
  upper: Float32Array,
  lower: Float32Array,
  { bits, groupSize, symmetric, containsZero }: ClippedGridSettings,
): HostIntegerWeight {
  const top = 2 ** bits - 1;
  const half = 2 ** (bits - 1) - 1;
  const scales = new Float32Array(upper.length);
  const zeros = new Float32Array(upper.length);
  const codes = new Uint8Array(weights.length);
  for (let group = 0; group < upper.length; group++) {
    const first = group * groupSize;
    const values = weights.subarray(first, first + groupSize);
    const maximum = values.reduce((a, b) => Math.max(a, b), containsZero ? 0 : -Infinity);
    const minimum = values.reduce((a, b) => Math.min(a, b), containsZero ? 0 : Infinity);
    const high = sigmoid(upper[group]!) * maximum;
    const low = sigmoid(lower[group]!) * minimum;
    const range = symmetric ? Math.max(Math.abs(high), Math.abs(low)) / half : (high - low) / top;
    // Codes and zero follow from the scale that readers see.
    const scale = Math.fround(clamp(range, LEAST_SCALE, LARGEST_SCALE));
    const zero = symmetric
      ? half
      : roundHalfToEven(clamp(-low / scale, -LARGEST_ZERO, LARGEST_ZERO));
    scales[group] = scale;
    zeros[group] = zero;
    for (let k = 0; k < groupSize; k++) {
      codes[first + k] = encode(values[k]!, { scale, zero }, bits);
    }
  }
  return {
    format: "integer",
    rows,
    columns,
    bits,
    blockRows: 1,
    blockColumns: groupSize,
    codes: packCodes(codes, bits, rows, columns),
    scales,
    zeros,
  };
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}

function clamp(value: number, least: number, largest: number): number {
  return Math.min(Math.max(value, least), largest);
}
