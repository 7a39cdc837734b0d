// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Grids of SliM-LLM's column groups (Huang et al. 2025): asymmetric ones at two bits and more, two
 * levels at one bit, and the search for each row's scale.
 *
 * @module
 */

import type { Block } from "../linalg/matrix.ts";
import { encode, fitGrid, type Grid } from "./integer_grid.ts";

/** How the two levels `mean +- magnitude` of a row are chosen at one bit. */
export type OneBitRule =
  /** The mean of the weights, and their mean distance from it: least squares for that threshold. */
  | "centered"
  /** The mean of the weights, and the mean of their magnitudes (the released code). */
  | "code"
  /** Zero, and the mean of the magnitudes (the paper's equation 2). */
  | "paper";

/** How {@linkcode searchScales} weighs errors. */
export interface ScaleSearch {
  /** Errors count as `|w - value|^exponent`. */
  readonly exponent: number;
  /** Factor on the errors of salient weights. */
  readonly salientWeight: number;
}

/** Factors of the scale on either side of 1, and how far they reach (section 3.3 of the paper). */
const CANDIDATES_PER_SIDE = 50;
const REACH = 0.1;

/** 1, then 1.002 to 1.1, then 0.998 to 0.9: in this order, so that 1 wins ties. */
export const SCALE_FACTORS: readonly number[] = [
  1,
  ...[1, -1].flatMap((side) =>
    Array.from(
      { length: CANDIDATES_PER_SIDE },
      (_, index) => 1 + side * (index + 1) / (CANDIDATES_PER_SIDE / REACH),
    )
  ),
];

/** The grid of each row of a group for codes of `bits` bits, from the extremes of its weights. */
export function fitRows(group: Block, bits: number, oneBit: OneBitRule): Grid[] {
  return Array.from({ length: group.rows }, (_, row) => {
    const start = group.offset + row * group.stride;
    const weights = group.values.subarray(start, start + group.columns);
    if (bits === 1) return fitTwoLevels(weights, oneBit);
    let minimum = Infinity;
    let maximum = -Infinity;
    for (const weight of weights) {
      if (weight < minimum) minimum = weight;
      if (weight > maximum) maximum = weight;
    }
    return fitGrid(minimum, maximum, bits, false);
  });
}

/** Codes 0 and 1 stand for `mean - magnitude` and `mean + magnitude`; the zero is no integer. */
function fitTwoLevels(weights: Float64Array, rule: OneBitRule): Grid {
  const average = (value: (weight: number) => number) =>
    weights.reduce((sum, weight) => sum + value(weight), 0) / weights.length;
  const mean = rule === "paper" ? 0 : average((weight) => weight);
  const center = rule === "centered" ? mean : 0;
  const scale = Math.fround(2 * average((weight) => Math.abs(weight - center)));
  // Equal weights need one level, which code 1 then is.
  if (scale < 2 ** -126) {
    const only = Math.fround(Math.abs(mean)) || 1;
    return { scale: only, zero: 1 - mean / only };
  }
  return { scale, zero: Math.fround(0.5 - mean / scale) };
}

/** The code of the nearest point of a grid; between two levels the upper one wins. */
export function encodeWidth(value: number, grid: Grid, bits: number): number {
  if (bits > 1) return encode(value, grid, bits);
  return value / grid.scale + grid.zero >= 0.5 ? 1 : 0;
}

/**
 * Salience-weighted calibration of scales: for each row the factor of {@linkcode SCALE_FACTORS} whose
 * grid has the least weighted error. Zeros stay: `round(-low / scale)` does not depend on a factor
 * that `low` and `scale` share. Groups of one bit stay as they are.
 *
 * @param salient `[rows * columns]` of the group, 1 for salient weights; null where none is.
 */
export function searchScales(
  group: Block,
  bits: number,
  grids: readonly Grid[],
  salient: Uint8Array | null,
  { exponent, salientWeight }: ScaleSearch,
): Grid[] {
  if (bits === 1) return [...grids];
  const { columns, offset, stride } = group;
  const weights = new Float64Array(columns);
  const factors = new Float64Array(columns).fill(1);
  return grids.map(({ scale, zero }, row) => {
    const start = offset + row * stride;
    weights.set(group.values.subarray(start, start + columns));
    if (salient !== null) {
      for (let column = 0; column < columns; column++) {
        factors[column] = salient[row * columns + column] === 1 ? salientWeight : 1;
      }
    }
    let best = scale;
    let least = Infinity;
    for (const factor of SCALE_FACTORS) {
      const candidate = Math.fround(factor * scale);
      const error = weightedError(weights, factors, candidate, zero, bits, exponent, least);
      if (error < least) {
        least = error;
        best = candidate;
      }
    }
    return { scale: best, zero };
  });
}

/** The weighted error of a row on a grid, or as much of it as shows that it is not below `enough`. */
function weightedError(
  weights: Float64Array,
  factors: Float64Array,
  scale: number,
  zero: number,
  bits: number,
  exponent: number,
  enough: number,
): number {
  const grid = { scale, zero };
  let error = 0;
  for (let column = 0; column < weights.length && error < enough; column++) {
    const weight = weights[column]!;
    const code = encode(weight, grid, bits);
    error += factors[column]! * Math.abs(weight - scale * (code - zero)) ** exponent;
  }
  return error;
}
