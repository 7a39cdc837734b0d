/**
 * What an initializer is: values for the matrices of an adapter before training, and sometimes a base
 * weight that goes with them.
 *
 * @module
 */

import type { z } from "zod";
import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { CalibrationNeeds, LayerCalibration } from "../calibration/layer_calibration.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { LinearShape } from "../models/architecture.ts";

/** One linear layer as an initializer sees it. */
export interface InitializerLayer {
  readonly linear: LinearShape;
  /** Shapes and scale of the adapter to fill. */
  readonly shape: AdapterShape;
  /** The seed of the cell; draws are keyed by it and the path of the layer. */
  readonly seed: number;
  /**
   * The weight before it was quantized, `[rows, columns]` row-major, not to be written to; null unless
   * the initializer says {@linkcode Initializer.needsOriginal}.
   */
  readonly original: Float32Array | null;
  /** The weight that the adapter will be trained on. */
  readonly base: HostWeight;
  /** There whenever {@linkcode Initializer.calibration} asks for something. */
  readonly calibration: LayerCalibration | null;
  /**
   * The quantizer of the base with its parameters, without preprocessing, for methods that move the
   * base; null where the base was not made by a `quantize` stage. Rejects weights that the quantizer
   * rejects, and, if it needs calibration, a stage without `calibration:`, as a `UserError`.
   */
  readonly requantize: ((weights: Float32Array) => HostWeight) | null;
}

/** What an initializer makes of a layer. */
export interface InitializedLayer {
  readonly module: HostModule;
  /** A weight in the format of the base that replaces it; absent if the base stays as it is. */
  readonly base?: HostWeight;
  /** Where the layer's original weight and Gram matrix were given: see `pooled_error.ts`. */
  readonly error?: CalibratedError;
  /** What happened that the user should know, without the name of the layer. */
  readonly remarks?: readonly string[];
}

/**
 * Mean squared errors of a layer's outputs on calibration text, as shares of the mean square of the
 * outputs themselves: `tr(D H Dᵀ) / tr(W H Wᵀ)` where D is what is missing of W.
 */
export interface CalibratedError {
  /** Of the base that the initializer was given, without an adapter. */
  readonly before: number;
  /** Of the base that it leaves, with the adapter. */
  readonly after: number;
}

/** A method that fills the matrices of an adapter before training. */
export interface Initializer<Parameters extends { readonly method: string }> {
  /** The value of `init: { method }`, or of `init` alone, in the experiment file. */
  readonly name: Parameters["method"];
  /** One line for the documentation and the JSON Schema. */
  readonly summary: string;
  /** A strict zod object whose `method` is the literal `name`; all other keys have defaults. */
  readonly parameters: z.ZodType<Parameters> & z.core.$ZodTypeDiscriminable;
  /** What it reads of a layer's inputs; absent or null if nothing. */
  calibration?(parameters: Parameters): CalibrationNeeds | null;
  /** Whether it reads the weights before they were quantized. */
  readonly needsOriginal?: boolean;
  /**
   * Fills the adapter of one layer so that the base with it stands for what the method intends:
   * `scale` of the shape (`alpha / rank`) is part of the product.
   *
   * @throws {UserError} If the method is not defined on this form, base or calibration.
   */
  initialize(layer: InitializerLayer, parameters: Parameters): InitializedLayer;
}
