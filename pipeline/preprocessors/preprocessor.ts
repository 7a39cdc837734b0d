/**
 * What a preprocessor is: a change of the weights before a quantizer sees them.
 *
 * @module
 */

import type { z } from "zod";
import type { Device } from "../../kernels/device.ts";
import type { CalibrationNeeds, LayerCalibration } from "../calibration/layer_calibration.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";

/** What a preprocessor knows of a layer besides its weights. */
export interface PreprocessorLayer {
  /** Names the layer in errors. */
  readonly path: string;
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly columns: number;
  /** What the quantizer will make of it (bits, blocks); null if it stays dense. */
  readonly format: ModuleFormat | null;
  /** What {@linkcode Preprocessor.calibration} asks for, and where to compute with it. */
  readonly calibration?: { readonly inputs: LayerCalibration; readonly device: Device };
}

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
   * The weights to quantize instead of `weights`, in an array of their own.
   *
   * @param weights `[layer.rows, layer.columns]`, row-major.
   * @throws {UserError} If a weight is not finite or a group does not divide the matrix.
   */
  preprocess(
    weights: Float32Array,
    layer: PreprocessorLayer,
    parameters: Parameters,
  ): Float32Array | Promise<Float32Array>;
}
