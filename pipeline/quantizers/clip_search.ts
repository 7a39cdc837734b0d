// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The grid of a block of weights: of its range, or of the shrunk range that loses least, as the
 * released code of GPTQ searches it (`mse` of `quant.py`).
 *
 * @module
 */

import type { IntegerBits } from "../../kernels/device.ts";
import { encode, fitGrid, type Grid } from "./integer_grid.ts";

/** Which ranges a search tries and what it minimizes. */
export interface ClipSearch {
  /** Steps from the whole range to none. */
  readonly grid: number;
  /** Share of those steps that is tried. */
  readonly max_shrink: number;
  /** Minimizes the sum of `|quantized - weight|^exponent`; above 2, large errors count more. */
  readonly exponent: number;
}

/** How blocks get their grids. */
export interface GridRule {
  /** Width of a code. */
  readonly bits: IntegerBits;
  /** Whether the range is the same on both sides of 0. */
  readonly symmetric: boolean;
  /** Factor of the range between the smallest and the largest weight. */
  readonly range: number;
  /** The search for a smaller range than that; null for none. */
  readonly clip: ClipSearch | null;
}

/** The grid for the `values` of a block. */
export function blockGrid(values: Float64Array, { bits, symmetric, range, clip }: GridRule): Grid {
  let minimum = Infinity;
  let maximum = -Infinity;
  for (let index = 0; index < values.length; index++) {
    minimum = Math.min(minimum, values[index]!);
    maximum = Math.max(maximum, values[index]!);
  }
  let best = fitGrid(range * minimum, range * maximum, bits, symmetric);
  if (clip === null) return best;
  let least = Infinity;
  for (let step = 0; step < Math.trunc(clip.max_shrink * clip.grid); step++) {
    const kept = range * (1 - step / clip.grid);
    const grid = fitGrid(kept * minimum, kept * maximum, bits, symmetric);
    const error = errorOf(values, grid, bits, clip.exponent, least);
    if (error < least) {
      least = error;
      best = grid;
    }
  }
  return best;
}

/** The sum of `|quantized - weight|^exponent`, or as much of it as exceeds `enough`. */
function errorOf(
  values: Float64Array,
  grid: Grid,
  bits: IntegerBits,
  exponent: number,
  enough: number,
): number {
  let sum = 0;
  for (let index = 0; index < values.length && sum < enough; index++) {
    const value = values[index]!;
    sum += Math.abs(grid.scale * (encode(value, grid, bits) - grid.zero) - value) ** exponent;
  }
  return sum;
}
