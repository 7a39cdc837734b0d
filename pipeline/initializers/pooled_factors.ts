// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * From an update of the weights to the matrices that an adapter stores.
 *
 * @module
 */

import type { HostModule } from "../adapters/adapter.ts";
import type { Matrix } from "../linalg/matrix.ts";
import type { InitializerLayer } from "./initializer.ts";
import type { TileUpdate } from "./pooled_tiles.ts";
import { zeroModule } from "./zero.ts";

/**
 * Stores `C = left right` so that `(scale / p) B A = C`: the scale is divided out, without which an
 * adapter with `alpha` other than `rank` starts somewhere else (PEFT's LoftQ does).
 *
 * Component k goes into column k of B, times `weights[k]`, and row k of A, divided by it, which is
 * one of the ways to split a product that leave it as it is. An adapter may have more rows than the
 * update: rows of A beyond it are random and columns of B zero, as `zero` has all of them, so that
 * they add nothing at first and can be trained.
 *
 * @param weights Positive; all 1 if not given.
 */
export function storeUpdate(
  { linear, shape, seed }: InitializerLayer,
  { left, right }: TileUpdate,
  weights?: Float64Array,
): HostModule {
  const [outputs, rank] = shape.b;
  const factor = shape.scale / shape.pool;
  if (right === null || shape.a === null) {
    return { shape, a: null, b: Float32Array.from(left.values, (value) => value / factor) };
  }
  const module = zeroModule(linear, shape, seed);
  const [, inputs] = shape.a;
  const { a, b } = module;
  for (let k = 0; k < left.columns; k++) {
    const weight = weights?.[k] ?? 1;
    for (let output = 0; output < outputs; output++) {
      b[output * rank + k] = left.values[output * left.columns + k]! * weight / factor;
    }
    for (let input = 0; input < inputs; input++) {
      a![k * inputs + input] = right.values[k * inputs + input]! / weight;
    }
  }
  return module;
}

/** Where the singular values of an update are stored. */
export type Split = "sigma_on_a" | "sqrt" | "sigma_on_b";

/**
 * Weights for {@linkcode storeUpdate} of an update whose right factor carries the singular values:
 * the factor of each component moves to the other side, or half of it with half of the scale, so that
 * `sqrt` gives A and B equal norms.
 */
export function splitWeights(
  singularValues: Float64Array,
  split: Split,
  factor: number,
): Float64Array {
  switch (split) {
    case "sigma_on_a":
      return singularValues.map(() => 1);
    case "sqrt":
      return singularValues.map((value) => Math.sqrt(value * factor));
    case "sigma_on_b":
      return singularValues.slice();
  }
}

/** The first `count` columns. */
export function leadingColumns(source: Matrix, count: number): Matrix {
  const values = new Float64Array(source.rows * count);
  for (let row = 0; row < source.rows; row++) {
    const start = row * source.columns;
    values.set(source.values.subarray(start, start + count), row * count);
  }
  return { rows: source.rows, columns: count, values };
}

/** Row k times `factors[k]`. */
export function scaleRows(source: Matrix, factors: Float64Array): Matrix {
  const { columns } = source;
  const values = source.values.map((value, i) => value * factors[Math.floor(i / columns)]!);
  return { ...source, values };
}

/**
 * Leading components that stand for something: of `values`, in descending order, those above rounding.
 */
export function significant(values: Float64Array, threshold: number): number {
  const first = values[0] ?? 0;
  let count = 0;
  while (count < values.length && values[count]! > threshold * first) count++;
  return count;
}
