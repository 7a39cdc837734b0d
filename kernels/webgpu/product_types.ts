/**
 * The description of a matrix product that the kernels for it share.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { PackedWeight } from "./decode.ts";

/** A dense factor. */
export interface DenseFactor {
  /** f32, any shape with the right number of elements. */
  readonly tensor: Tensor;
  /** Stored with its two dimensions exchanged. */
  readonly transposed: boolean;
}

/** A packed weight as a right factor. */
export interface PackedFactor {
  /** `[rows, columns]`. */
  readonly weight: PackedWeight;
  /** True for `x W^T` (rows are the product's columns), false for `dy W`. */
  readonly transposed: boolean;
}

/** A product of dense factors that is added to another: `scale * left [M, K] right [K, N]`. */
export interface Addend {
  /** Length of the reduction. */
  readonly K: number;
  /** `[M, K]`. */
  readonly left: DenseFactor;
  /** `[K, N]`. */
  readonly right: DenseFactor;
  /** Factor on the product. */
  readonly scale: number;
}

/** `output [M, N] (+)= scale * left [M, K] right [K, N] (+ bias [N]) (+ addend)`. */
export interface Product {
  /** For timing tables and error messages. */
  readonly label: string;
  /** Rows. */
  readonly M: number;
  /** Columns. */
  readonly N: number;
  /** Length of the reduction. */
  readonly K: number;
  /** `[M, K]`. */
  readonly left: DenseFactor;
  /** `[K, N]`. */
  readonly right: DenseFactor | PackedFactor;
  /** `[M, N]`. */
  readonly output: Tensor;
  /** Stores `[N, M]`; set by `transposeNarrow` only. */
  readonly outputTransposed?: boolean;
  /** `[N]`; needs a scale of 1. */
  readonly bias: Tensor | null;
  /** The product of an adapter, added in the same pass; needs a scale of 1. */
  readonly addend?: Addend;
  /** Factor on the product. */
  readonly scale: number;
  /** Adds to the output instead of overwriting it. */
  readonly accumulate: boolean;
}

/** A product whose reduction is cut into slices, with one output `[M, N]` for each. */
export interface SlicedProduct extends Product {
  /** Number of slices, 1 for an undivided product. */
  readonly slices: number;
  /** Slice s of the reduction is `[s * sliceDepth, (s + 1) * sliceDepth)`. */
  readonly sliceDepth: number;
}

/** Output tile of one workgroup, and the granularity of slices. */
export interface Tile {
  /** Rows of the output. */
  readonly rows: number;
  /** Columns of the output. */
  readonly columns: number;
  /** Places of the reduction per step; slices are multiples of it. */
  readonly depth: number;
  /** Workgroups that keep the device busy; a product with fewer tiles is cut into slices. */
  readonly wantedWorkgroups: number;
}
