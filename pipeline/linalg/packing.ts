// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Copying between matrices and the memory of the product kernel.
 *
 * @module
 */

import type { Block } from "./matrix.ts";

/** A factor as lanes, which the kernel computes side by side, of steps, which it adds up. */
export interface Lanes {
  /** Number of lanes. */
  readonly lanes: number;
  /** Number of steps. */
  readonly steps: number;
  /** The values of the whole matrix. */
  readonly values: Float64Array;
  /** Place of the first lane's first step. */
  readonly offset: number;
  /** Elements from one lane to the next. */
  readonly laneStride: number;
  /** Elements from one step to the next. */
  readonly stepStride: number;
}

/** The columns of a block as lanes, or its rows. */
export function lanesOf(
  { rows, columns, values, offset, stride }: Block,
  lanesAreColumns: boolean,
): Lanes {
  return lanesAreColumns
    ? { lanes: columns, steps: rows, values, offset, laneStride: 1, stepStride: stride }
    : { lanes: rows, steps: columns, values, offset, laneStride: stride, stepStride: 1 };
}

/**
 * Copies lanes into groups of `width`, each group step by step. Lanes that the last group lacks keep
 * what was there: nobody looks at their results.
 */
export function pack(
  target: Float64Array,
  width: number,
  factor: Lanes,
  firstLane: number,
  lanes: number,
  firstStep: number,
  depth: number,
): void {
  const { values, laneStride, stepStride } = factor;
  const origin = factor.offset + firstLane * laneStride + firstStep * stepStride;
  for (let group = 0; group < lanes; group += width) {
    const existing = Math.min(width, lanes - group);
    const start = group * depth;
    if (stepStride === 1) {
      for (let lane = 0; lane < existing; lane++) {
        const from = origin + (group + lane) * laneStride;
        let to = start + lane;
        for (let step = 0; step < depth; step++, to += width) target[to] = values[from + step]!;
      }
    } else if (existing === 8) {
      packEight(target, start, values, origin + group, stepStride, depth);
    } else {
      let from = origin + group;
      let to = start;
      for (let step = 0; step < depth; step++, from += stepStride, to += width) {
        for (let lane = 0; lane < existing; lane++) target[to + lane] = values[from + lane]!;
      }
    }
  }
}

/** A whole panel of neighbouring lanes; written out, because this copy is what thin products wait for. */
function packEight(
  target: Float64Array,
  start: number,
  values: Float64Array,
  origin: number,
  stride: number,
  depth: number,
): void {
  let from = origin;
  let to = start;
  for (let step = 0; step < depth; step++, from += stride, to += 8) {
    target[to] = values[from]!;
    target[to + 1] = values[from + 1]!;
    target[to + 2] = values[from + 2]!;
    target[to + 3] = values[from + 3]!;
    target[to + 4] = values[from + 4]!;
    target[to + 5] = values[from + 5]!;
    target[to + 6] = values[from + 6]!;
    target[to + 7] = values[from + 7]!;
  }
}

/**
 * Adds results of the kernel, times `scale`. `diagonal` is the last column of row 0 to be written; in
 * every further row it is one more.
 */
export function addResults(
  target: Block,
  results: Float64Array,
  stride: number,
  scale: number,
  diagonal: number,
): void {
  const { values } = target;
  for (let i = 0; i < target.rows; i++) {
    const columns = Math.min(target.columns, diagonal + i + 1);
    const to = target.offset + i * target.stride;
    const from = i * stride;
    for (let j = 0; j < columns; j++) values[to + j]! += scale * results[from + j]!;
  }
}
