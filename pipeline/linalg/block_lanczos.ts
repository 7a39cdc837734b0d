// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Leading singular values and vectors of large maps by block Golub-Kahan-Lanczos bidiagonalization
 * with full reorthogonalization and thick restarts (Golub, Luk and Overton 1981; Baglama and Reichel
 * 2006, "Restarted block Lanczos bidiagonalization methods"). Vectors lie in rows.
 *
 * With orthonormal rows V and U, a step keeps two relations to the last bits:
 *
 *     V Aᵀ = P U,        U A = Pᵀ V + R,
 *
 * where P is small and R is a multiple of the next block of V and not zero only in the rows of the last
 * block of U. The singular value decomposition of P gives approximations whose residuals are rows of R.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import { assign, type Block, block, copyBlock, type Matrix, matrix } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { orthonormalize } from "./orthonormal.ts";
import { type SvdRows, svdRows } from "./svd.ts";
import { dot } from "./vectors.ts";

/** A linear map of vectors with `columns` elements to vectors with `rows` elements. */
export interface LinearMap {
  /** Elements of images. */
  readonly rows: number;
  /** Elements of vectors that it maps. */
  readonly columns: number;
  /** Images of vectors, in rows: `[k, columns]` to `[k, rows]`. */
  apply(vectors: Matrix): Matrix;
  /** Images under the transposed map: `[k, rows]` to `[k, columns]`. */
  applyTransposed(vectors: Matrix): Matrix;
}

/** Residuals of singular vectors that count as converged, in units of the largest singular value. */
export const RESIDUAL_TOLERANCE = 1e-10;

/**
 * Vectors that a step adds. Products with many vectors are cheaper for each, and a singular value with
 * up to so many copies is found with all of them at once.
 */
const BLOCK_SIZE = 12;

/** Steps of a cycle, after which the basis shrinks to the best approximations. */
const STEPS = 12;

/** Cycles that cost about as much as the full decomposition. */
const MOST_CYCLES = 80;

/** Rows of the basis for a rank; maps must have more in both directions. */
export function basisSize(rank: number): number {
  return keptSize(rank) + (STEPS + 1) * BLOCK_SIZE;
}

function keptSize(rank: number): number {
  return rank + Math.max(BLOCK_SIZE, rank >> 1);
}

/**
 * The `rank` leading singular values and vectors, each with residuals of at most
 * {@linkcode RESIDUAL_TOLERANCE}, or null if `mostCycles` are too few. When they have converged, a
 * cycle from random directions beside them looks for copies of singular values that were missed.
 *
 * @throws {RangeError} if the map is smaller than {@linkcode basisSize}.
 */
export function blockLanczos(
  map: LinearMap,
  rank: number,
  mostCycles: number = MOST_CYCLES,
): SvdRows | null {
  const room = basisSize(rank);
  if (Math.min(map.rows, map.columns) < room) {
    throw new RangeError(
      `A map [${map.rows}, ${map.columns}] is too small for a basis of ${room} vectors.`,
    );
  }
  const basis = new Basis(map, room);
  basis.startAgain(0);
  let confirmed: Float64Array | null = null;
  for (let cycle = 0; cycle < mostCycles; cycle++) {
    const { values, residuals } = basis.grow();
    const largest = values[0]!;
    // Less than is promised: starting again forgets these residuals, and equal values mix them.
    const limit = RESIDUAL_TOLERANCE / 10 * largest;
    const isConverged = residuals.subarray(0, rank).every((residual) => residual <= limit);
    if (!isConverged) {
      basis.shrink(keptSize(rank));
      continue;
    }
    const nothingMissed = confirmed !== null &&
      confirmed.every((value, i) => Math.abs(value - values[i]!) <= limit);
    if (nothingMissed) return checked(map, basis.leading(rank));
    confirmed = values.slice(0, rank);
    basis.shrink(rank);
    basis.startAgain(rank);
  }
  return null;
}

/** The approximations, if their residuals are what was promised. */
function checked(map: LinearMap, result: SvdRows): SvdRows | null {
  const { left, singularValues, right } = result;
  const limit = RESIDUAL_TOLERANCE * singularValues[0]!;
  const areSmall = (images: Matrix, vectors: Matrix) =>
    Array.from(singularValues.keys()).every((i) => {
      const start = i * images.columns;
      let sum = 0;
      for (let j = start; j < start + images.columns; j++) {
        sum += (images.values[j]! - singularValues[i]! * vectors.values[j]!) ** 2;
      }
      return Math.sqrt(sum) <= limit;
    });
  return areSmall(map.apply(right), left) && areSmall(map.applyTransposed(left), right)
    ? result
    : null;
}

/** Orthonormal rows U and V with the small matrix between them. */
class Basis {
  readonly #map: LinearMap;
  readonly #right: Matrix;
  readonly #left: Matrix;
  readonly #projected: Matrix;
  /** Rows of V that have their images; the next block lies behind them. */
  #count = 0;
  /** What the next block is multiplied with in R. */
  #remainder = matrix(BLOCK_SIZE, BLOCK_SIZE);
  #decomposition: SvdRows | null = null;
  #starts = 0;

  constructor(map: LinearMap, room: number) {
    this.#map = map;
    this.#right = matrix(room, map.columns);
    this.#left = matrix(room - BLOCK_SIZE, map.rows);
    this.#projected = matrix(room - BLOCK_SIZE, room - BLOCK_SIZE);
  }

  /** Makes the next block of random directions, orthogonal to the first `count` rows. */
  startAgain(count: number): void {
    const next = block(this.#right, count, 0, BLOCK_SIZE);
    const stream = new RandomStream(this.#starts++, "block lanczos");
    for (let i = 0; i < BLOCK_SIZE * next.columns; i++) {
      next.values[next.offset + i] = stream.normal(i);
    }
    orthonormalize(next, block(this.#right, 0, 0, count));
  }

  /** Fills the basis, and tells the approximate singular values and their residuals. */
  grow(): { values: Float64Array; residuals: Float64Array } {
    while (this.#count + BLOCK_SIZE <= this.#left.rows) this.#step();
    const decomposition = svdRows(
      copyBlock(block(this.#projected, 0, 0, this.#count, this.#count)),
    );
    this.#decomposition = decomposition;
    const values = decomposition.singularValues;
    const last = block(decomposition.right, 0, this.#count - BLOCK_SIZE);
    const rests = multiply(last, this.#remainder);
    const residuals = values.map((_, i) => {
      const start = i * BLOCK_SIZE;
      return Math.sqrt(dot(rests.values, start, rests.values, start, BLOCK_SIZE));
    });
    return { values, residuals };
  }

  /** Keeps the best `count` approximations and the next block. */
  shrink(count: number): void {
    const next = copyBlock(block(this.#right, this.#count, 0, BLOCK_SIZE));
    const { left, singularValues, right } = this.leading(count);
    assign(block(this.#right, 0, 0, count), right);
    assign(block(this.#right, count, 0, BLOCK_SIZE), next);
    assign(block(this.#left, 0, 0, count), left);
    this.#projected.values.fill(0);
    for (let i = 0; i < count; i++) {
      this.#projected.values[i * (this.#projected.columns + 1)] = singularValues[i]!;
    }
    this.#count = count;
  }

  /** The best `count` approximations. */
  leading(count: number): SvdRows {
    const { left, singularValues, right } = this.#decomposition!;
    const rows = (of: Matrix): Block => block(of, 0, 0, this.#count);
    return {
      left: multiply(block(right, 0, 0, count), rows(this.#left)),
      singularValues: singularValues.slice(0, count),
      right: multiply(block(left, 0, 0, count), rows(this.#right)),
    };
  }

  #step(): void {
    const count = this.#count;
    const current = block(this.#right, count, 0, BLOCK_SIZE);
    const images = block(this.#left, count, 0, BLOCK_SIZE);
    assign(images, this.#map.apply(copyBlock(current)));
    const composition = orthonormalize(images, block(this.#left, 0, 0, count));
    assign(block(this.#projected, count, 0, BLOCK_SIZE, count), composition.along);
    assign(block(this.#projected, count, count, BLOCK_SIZE, BLOCK_SIZE), composition.triangle);
    const next = block(this.#right, count + BLOCK_SIZE, 0, BLOCK_SIZE);
    assign(next, this.#map.applyTransposed(copyBlock(images)));
    this.#remainder = orthonormalize(next, block(this.#right, 0, 0, count + BLOCK_SIZE)).triangle;
    this.#count += BLOCK_SIZE;
  }
}
