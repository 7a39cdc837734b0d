/**
 * What calibration tells a method about the inputs of one linear layer.
 *
 * @module
 */

import type { Matrix } from "../linalg/matrix.ts";

/** What a method reads of a {@linkcode LayerCalibration}; what nobody reads is not gathered. */
export interface CalibrationNeeds {
  /** Whether it reads `gram`. */
  readonly gram: boolean;
  /** Whether it reads `sample`. */
  readonly sample: boolean;
}

/** The inputs `x [columns]` of one linear layer on calibration text. */
export interface LayerCalibration {
  /**
   * `[columns, columns]`: the mean of `x x^T` over all tokens, symmetric, in float64 (its products
   * were summed in f32 on the device; see `gram.ts`). `[0, 0]` where no method asked for it.
   */
  readonly gram: Matrix;
  /** Tokens that were seen; with fewer than `columns` the Gram matrix is singular. */
  readonly tokens: number;
  /**
   * `[n, columns]`, row-major: the inputs of some tokens, evenly spread over all of them; null where
   * no method asked for it.
   */
  readonly sample: Float32Array | null;
}
