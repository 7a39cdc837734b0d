/**
 * What a preprocessor is: a change of the weights before a quantizer sees them.
 *
 * @module
 */

import type { z } from "zod";
import type { CalibrationNeeds, LayerCalibration } from "../calibration/layer_calibration.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";

/** A method that makes weights easier to quantize. */
export interface Preprocessor<Parameters extends { readonly method: string }> {
  /** The value of `preprocess: { method }` in the experiment file. */
  readonly name: Parameters["method"];
  /** One line for the documentation and the JSON Schema. */
  readonly summary: string;
  /** A strict zod object whose `method` is the literal `name`. */
  readonly parameters: z.ZodType<Parameters> & z.core.$ZodTypeDiscriminable;
  /** What it reads of a layer's inputs; absent or null if nothing but the weights. */
  calibration?(parameters: Parameters): CalibrationNeeds | null;
  /**
   * The weights `[rows, columns]` to quantize instead of `weights`, in an array of their own.
   *
   * @param calibration There whenever {@linkcode Preprocessor.calibration} asks for something.
   * @param format What the quantizer will make of them (bits, blocks); null if they stay dense.
   * @param layer Names the matrix in errors.
   * @throws {UserError} If a weight is not finite or a group does not divide the matrix.
   */
  preprocess(
    weights: Float32Array,
    rows: number,
    columns: number,
    parameters: Parameters,
    calibration: LayerCalibration | undefined,
    format: ModuleFormat | null,
    layer: string,
  ): Float32Array;
}
