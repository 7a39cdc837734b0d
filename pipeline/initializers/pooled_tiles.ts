// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The pools and repeats of an adapter as linear maps. With `G [columns, columns / p]` the 0/1 indicator
 * of input pools and `R [rows, rows / q]` that of output repeats, an adapter stands for
 *
 *     delta W = R C Gᵀ,    C = (scale / p) B A  [rows / q, columns / p]
 *
 * (scale as in `AdapterShape`: stated for average pooling, whatever convention is named). Neither
 * indicator is ever formed.
 *
 * @module
 */

import type { AdapterShape } from "../adapters/plan.ts";
import { fromFloat32, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import { dequantizeHost, type HostWeight } from "../formats/host_weight.ts";

/** `C = left right`, of the rank that `left` has columns; `right` null stands for the identity. */
export interface TileUpdate {
  /** `[rows / q, rank]`, or C itself. */
  readonly left: Matrix;
  /** `[rank, columns / p]`. */
  readonly right: Matrix | null;
}

/** C itself. */
export function productOf({ left, right }: TileUpdate): Matrix {
  return right === null ? left : multiply(left, right);
}

/** `Rᵀ M / q`: the mean of every q rows. */
export function outputMeans(source: Matrix, repeat: number): Matrix {
  if (repeat === 1) return source;
  const means = outputSums(source, repeat);
  for (let i = 0; i < means.values.length; i++) means.values[i]! /= repeat;
  return means;
}

/** `Rᵀ M`: the sum of every q rows. */
export function outputSums(source: Matrix, repeat: number): Matrix {
  if (repeat === 1) return source;
  const { columns, values } = source;
  const sums = matrix(source.rows / repeat, columns);
  for (let row = 0; row < source.rows; row++) {
    const target = Math.floor(row / repeat) * columns;
    for (let column = 0; column < columns; column++) {
      sums.values[target + column]! += values[row * columns + column]!;
    }
  }
  return sums;
}

/** `M G`: the sum of every p columns. */
export function inputSums(source: Matrix, pool: number): Matrix {
  if (pool === 1) return source;
  const sums = matrix(source.rows, source.columns / pool);
  for (let i = 0; i < source.values.length; i++) {
    sums.values[Math.floor(i / pool)]! += source.values[i]!; // p divides the columns
  }
  return sums;
}

/** `M Gᵀ`: every column p times. */
export function spreadInputs(source: Matrix, pool: number): Matrix {
  if (pool === 1) return source;
  const spread = matrix(source.rows, source.columns * pool);
  for (let i = 0; i < spread.values.length; i++) {
    spread.values[i] = source.values[Math.floor(i / pool)]!;
  }
  return spread;
}

/**
 * The mean of every tile: the nearest `R C Gᵀ` in the Frobenius norm has these values, because the
 * tiles are disjoint and of one size.
 */
export function tileMeans(source: Matrix, { pool, repeat }: AdapterShape): Matrix {
  const means = inputSums(outputMeans(source, repeat), pool);
  if (pool === 1) return means;
  for (let i = 0; i < means.values.length; i++) means.values[i]! /= pool;
  return means;
}

/** `W - R C Gᵀ`, each value rounded once to f32: what is left for a base to stand for. */
export function withoutUpdate(
  weights: Matrix,
  update: TileUpdate,
  { pool, repeat }: AdapterShape,
): Float32Array {
  const tiles = productOf(update);
  const { rows, columns } = weights;
  const rest = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    const start = Math.floor(row / repeat) * tiles.columns;
    for (let column = 0; column < columns; column++) {
      const i = row * columns + column;
      rest[i] = weights.values[i]! - tiles.values[start + Math.floor(column / pool)]!;
    }
  }
  return rest;
}

/** `W - Q`. */
export function quantizationError(weights: Matrix, base: HostWeight): Matrix {
  const error = fromFloat32(dequantizeHost(base), base.rows, base.columns);
  for (let i = 0; i < error.values.length; i++) {
    error.values[i] = weights.values[i]! - error.values[i]!;
  }
  return error;
}
