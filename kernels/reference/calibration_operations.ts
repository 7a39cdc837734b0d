/**
 * Recording on the reference device: the operations with which quantized weights are calibrated.
 *
 * @module
 */

import * as shapes from "../shapes.ts";
import type { Arguments } from "../shapes.ts";
import { clippedQuantize, clippedQuantizeBackward } from "./clipped_quantize.ts";
import { gatherColumns, scatterColumns } from "./columns.ts";
import type { Operands } from "./operands.ts";
import { squaredError } from "./squared_error.ts";

/** Collects calls. */
export class CalibrationOperations {
  /** What one replay calls, in order. */
  readonly steps: (() => void)[] = [];
  readonly #operands: Operands;

  /** Starts an empty recording over tensors that `operands` resolves. */
  constructor(operands: Operands) {
    this.#operands = operands;
  }

  /** See {@linkcode Operations.squaredError}. */
  squaredError(args: Arguments<"squaredError">): void {
    const dimensions = shapes.checkSquaredError(args);
    const { scale, accumulate = false } = args;
    const prediction = this.#operands.floats(args.prediction);
    const target = this.#operands.floats(args.target);
    const losses = this.#operands.floats(args.losses);
    const gradient = this.#operands.optional(args.gradient);
    this.steps.push(() =>
      squaredError(prediction, target, losses, gradient, dimensions, scale, accumulate)
    );
  }

  /** See {@linkcode Operations.clippedQuantize}. */
  clippedQuantize(args: Arguments<"clippedQuantize">): void {
    shapes.checkClippedQuantize(args);
    const weight = this.#operands.floats(args.weight);
    const upper = this.#operands.floats(args.upper);
    const lower = this.#operands.floats(args.lower);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => clippedQuantize(weight, upper, lower, output, args));
  }

  /** See {@linkcode Operations.clippedQuantizeBackward}. */
  clippedQuantizeBackward(args: Arguments<"clippedQuantizeBackward">): void {
    shapes.checkClippedQuantizeBackward(args);
    const weight = this.#operands.floats(args.weight);
    const upper = this.#operands.floats(args.upper);
    const lower = this.#operands.floats(args.lower);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const gradUpper = this.#operands.floats(args.gradUpper);
    const gradLower = this.#operands.floats(args.gradLower);
    this.steps.push(() =>
      clippedQuantizeBackward(weight, upper, lower, gradOutput, gradUpper, gradLower, args)
    );
  }

  /** See {@linkcode Operations.gatherColumns}. */
  gatherColumns(args: Arguments<"gatherColumns">): void {
    const dimensions = shapes.checkGatherColumns(args);
    const input = this.#operands.floats(args.input);
    const order = this.#operands.words(args.order);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => gatherColumns(input, order, output, dimensions));
  }

  /** See {@linkcode Operations.scatterColumns}. */
  scatterColumns(args: Arguments<"scatterColumns">): void {
    const dimensions = shapes.checkScatterColumns(args);
    const input = this.#operands.floats(args.input);
    const order = this.#operands.words(args.order);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => scatterColumns(input, order, output, dimensions));
  }
}
