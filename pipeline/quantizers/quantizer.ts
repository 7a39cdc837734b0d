/**
 * What a quantizer is: a name, the schema of its parameters, and a function from a matrix to codes.
 *
 * @module
 */

import type { z } from "zod";
import type { CalibrationNeeds, LayerCalibration } from "../calibration/layer_calibration.ts";
import { UserError } from "../errors.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";

/** A weight quantization method. */
export interface Quantizer<Parameters extends { readonly method: string }> {
  /** The value of `method:` in the experiment file. */
  readonly name: Parameters["method"];
  /** One line for the documentation and the JSON Schema. */
  readonly summary: string;
  /** A strict zod object whose `method` is the literal `name`. */
  readonly parameters: z.ZodType<Parameters> & z.core.$ZodTypeDiscriminable;
  /** What the parameters amount to, storage included: "INT4, blocks 1x32, 6 bits per weight". */
  describe(parameters: Parameters): string;
  /** Format of every weight that `quantize` returns; null if they stay dense. */
  format(parameters: Parameters): ModuleFormat | null;
  /**
   * Bits per weight as the method's paper counts them, for methods that count otherwise than the bytes
   * of a file do: without scales, means and flags.
   */
  parameterBits?(weight: HostWeight, parameters: Parameters): number;
  /** What it reads of a layer's inputs; absent or null if nothing but the weights. */
  calibration?(parameters: Parameters): CalibrationNeeds | null;
  /**
   * Quantizes `weights [rows, columns]` (row-major; `columns` are inputs); `layer` names the matrix
   * in errors.
   *
   * @param weights Not written to, and not kept unless the result is dense.
   * @param calibration There whenever {@linkcode Quantizer.calibration} asks for something.
   * @param log Takes a line on what was done otherwise than asked, and why.
   * @throws {UserError} If a weight is not finite or a block size does not divide the matrix.
   */
  quantize(
    weights: Float32Array,
    rows: number,
    columns: number,
    parameters: Parameters,
    layer: string,
    calibration?: LayerCalibration,
    log?: (line: string) => void,
  ): HostWeight;
}

/**
 * Refuses what no quantizer can represent.
 *
 * @throws {UserError} If a weight is NaN or infinite.
 * @throws {RangeError} If the array does not have `rows * columns` values.
 */
export function checkWeights(
  weights: Float32Array,
  rows: number,
  columns: number,
  layer: string,
): void {
  if (weights.length !== rows * columns) {
    throw new RangeError(
      `${layer} has ${weights.length} values; a ${rows} x ${columns} matrix has ${rows * columns}`,
    );
  }
  const index = weights.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) {
    throw new UserError(
      `Cannot quantize ${layer}: the weight at row ${Math.floor(index / columns)}, column ` +
        `${index % columns} is ${weights[index]}; check that the model's file is intact and was ` +
        `saved after a run without NaN`,
    );
  }
}

/**
 * Refuses a block size that leaves a remainder.
 *
 * @throws {UserError} If `size` does not divide `dimension`.
 */
export function checkDivides(
  size: number,
  dimension: number,
  parameter: string,
  dimensionName: string,
  layer: string,
): void {
  if (dimension % size === 0) return;
  const divisors = Array.from({ length: dimension }, (_, index) => index + 1)
    .filter((divisor) => dimension % divisor === 0 && divisor >= 8 && divisor <= 256);
  throw new UserError(
    `Cannot quantize ${layer}: ${parameter} ${size} does not divide its ${dimension} ` +
      `${dimensionName}` + (divisors.length > 0 ? `; use one of ${divisors.join(", ")}` : ""),
  );
}
