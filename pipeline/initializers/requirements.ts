// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * What methods need of a layer, or one sentence about what is missing.
 *
 * @module
 */

import { checkGram } from "../calibration/check_gram.ts";
import { UserError } from "../errors.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { fromFloat32, type Matrix } from "../linalg/matrix.ts";
import type { InitializerLayer } from "./initializer.ts";

/**
 * The weight before it was quantized.
 *
 * @throws {UserError} If it is not there, or a value is not finite.
 */
export function originalOf({ original, linear }: InitializerLayer, method: string): Matrix {
  if (original === null) {
    throw new UserError(
      `${method} needs the weights of ${linear.path} before they were quantized; initialize from a ` +
        `quantize stage, or use init: zero`,
    );
  }
  const index = original.findIndex((value) => !Number.isFinite(value));
  if (index >= 0) {
    const row = Math.floor(index / linear.columns);
    throw new UserError(
      `Cannot initialize ${linear.path} with ${method}: its original weight at row ${row}, column ` +
        `${index % linear.columns} is ${original[index]}; check that the model's file is intact`,
    );
  }
  return fromFloat32(original, linear.rows, linear.columns);
}

/**
 * The Gram matrix of the layer's inputs, checked for what a matrix of means of `x xᵀ` cannot be.
 * Being singular is no fault: methods say what they do then.
 *
 * @throws {UserError} If it is missing, has values that are not finite, a negative or zero diagonal,
 * or a negative 2 x 2 minor.
 */
export function gramOf({ calibration, linear }: InitializerLayer, method: string): Matrix {
  if (calibration === null || calibration.gram.rows === 0) {
    throw new UserError(
      `${method} needs the inputs of ${linear.path} on calibration text; add ` +
        "`calibration: { data: { text: path/to/text } }` to the initialize stage, or use loftq, " +
        "which needs none",
    );
  }
  const { gram } = calibration;
  checkGram(gram, linear.columns, linear.path);
  const { rows: size, values } = gram;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j < i; j++) {
      const value = values[i * size + j]!;
      const [first, second] = [values[j * (size + 1)]!, values[i * (size + 1)]!];
      // Sums in f32 leave a minor of equal inputs a little below zero.
      if (value === values[j * size + i] && value ** 2 <= first * second * (1 + TOLERANCE)) {
        continue;
      }
      throw new UserError(
        `Cannot initialize ${linear.path} with ${method}: no inputs have its Gram matrix (mean ` +
          `product of inputs ${j} and ${i}: ${value}, of the squares: ${first}, ${second}); ` +
          `calibrate again`,
      );
    }
  }
  return gram;
}

const TOLERANCE = 1e-3;

/**
 * The quantizer of the base.
 *
 * @throws {UserError} If the base was not made by a `quantize` stage.
 */
export function requantizerOf(
  { requantize, linear }: InitializerLayer,
  method: string,
): (weights: Float32Array) => HostWeight {
  if (requantize !== null) return requantize;
  throw new UserError(
    `${method} quantizes ${linear.path} again, but its base was not made by a quantize stage; ` +
      `initialize from one, or use a method that leaves the base as it is: zero, or cloq with ` +
      `iterations: 1`,
  );
}

/**
 * Refuses an adapter with one matrix instead of a pair.
 *
 * @throws {UserError} If the adapter has no rank.
 */
export function requirePair(
  { shape, linear }: InitializerLayer,
  method: string,
  reason: string,
): void {
  if (shape.a !== null) return;
  throw new UserError(
    `${method} is not defined for the adapter of ${linear.path}: ${reason}, and qa-hira has one ` +
      `matrix without a rank; use cloq or loftq, which fit it directly`,
  );
}
