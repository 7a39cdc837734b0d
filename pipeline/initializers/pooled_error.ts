// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Errors in the calibrated norm `‖D‖² = tr(D H Dᵀ)`: the mean square, over calibration text, of what
 * D adds to a layer's outputs.
 *
 * @module
 */

import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import { block, fromFloat32, identity, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiply, multiplyInto } from "../linalg/multiply.ts";
import type { CalibratedError, InitializedLayer, InitializerLayer } from "./initializer.ts";
import { outputSums, quantizationError, spreadInputs, type TileUpdate } from "./pooled_tiles.ts";

/** Columns of a product that {@linkcode calibratedNorm} holds at a time. */
const SLAB = 512;

/**
 * `tr(D H Dᵀ)` for D `[rows, columns]` and symmetric H. Only the upper triangle of H is multiplied
 * with, by slabs of columns: half of the work of D H, and no matrix of its size.
 */
export function calibratedNorm(difference: Matrix, gram: Matrix): number {
  const { rows, columns } = difference;
  let norm = 0;
  for (let start = 0; start < columns; start += SLAB) {
    const width = Math.min(SLAB, columns - start);
    const slab = block(difference, 0, start, rows, width);
    const product = multiply(slab, block(gram, start, start, width, width));
    multiplyInto(
      product,
      block(difference, 0, 0, rows, start),
      block(gram, 0, start, start, width),
      { scale: 2, accumulate: true },
    );
    norm += innerProduct(product, slab.values, slab.offset, slab.stride);
  }
  return norm;
}

/**
 * What an update changes in the calibrated norm of an error E, by products with its factors alone:
 * `‖E - R C Gᵀ‖² - ‖E‖² = q tr(C Hp Cᵀ) - 2 tr(C Gᵀ H Eᵀ R)`.
 */
export function changeOfNorm(
  error: Matrix,
  gram: Matrix,
  { left, right }: TileUpdate,
  { pool, repeat }: AdapterShape,
): number {
  const wide = spreadInputs(right ?? identity(left.columns), pool);
  const through = multiply(wide, gram); // [rank, columns]: right Gᵀ H
  const own = multiply(through, wide, { transposeRight: true }); // right Hp rightᵀ
  const both = multiply(left, left, { transposeLeft: true });
  const cross = outputSums(multiply(error, through, { transposeRight: true }), repeat);
  return repeat * innerProduct(both, own.values) - 2 * innerProduct(cross, left.values);
}

/** Σ of products of elements; rows of the other matrix are `stride` apart. */
function innerProduct(
  { rows, columns, values }: Matrix,
  other: Float64Array,
  offset = 0,
  stride: number = columns,
): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const [start, otherStart] = [row * columns, offset + row * stride];
    let rowSum = 0;
    for (let i = 0; i < columns; i++) rowSum += values[start + i]! * other[otherStart + i]!;
    sum += rowSum;
  }
  return sum;
}

/** What a module adds to the tiles of its layer, as it is stored. */
export function storedUpdate({ shape, a, b }: HostModule): TileUpdate {
  const left = matrix(
    ...shape.b,
    Float64Array.from(b, (value) => value * shape.scale / shape.pool),
  );
  return { left, right: a === null || shape.a === null ? null : fromFloat32(a, ...shape.a) };
}

/**
 * The result with its calibrated errors, of the factors as they are stored in f32; as it is where the
 * layer comes without its original weight or its Gram matrix.
 *
 * A base that the user gave is compared with the original weight, whatever preprocessing it saw.
 */
export function withError(layer: InitializerLayer, result: InitializedLayer): InitializedLayer {
  const { original, base, calibration, linear: { rows, columns } } = layer;
  if (original === null || calibration === null || calibration.gram.rows === 0) return result;
  const { gram } = calibration;
  const weights = fromFloat32(original, rows, columns);
  const total = calibratedNorm(weights, gram);
  const given = quantizationError(weights, base);
  const before = calibratedNorm(given, gram);
  const left = result.base === undefined ? given : quantizationError(weights, result.base);
  const after = (left === given ? before : calibratedNorm(left, gram)) +
    changeOfNorm(left, gram, storedUpdate(result.module), result.module.shape);
  return { ...result, error: { before: share(before, total), after: share(after, total) } };
}

/** A share of a positive total; rounding may leave nothing a little below zero. */
function share(part: number, total: number): CalibratedError["before"] {
  return part <= 0 ? 0 : part / total;
}
