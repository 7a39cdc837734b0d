/**
 * The `calibration:` of a stage: which text a model reads so that methods see the inputs of its
 * layers.
 *
 * @module
 */

import { z } from "zod";
import { type DataReference, dataSources } from "../data/data_sources.ts";
import { TEXT_DATA, type TextData } from "../data/text.ts";
import { UserError } from "../errors.ts";
import type { ModelConfig } from "../models/config.ts";

/** Tokens of a window at most, unless `length` says otherwise: what GPTQ calibrates with. */
const DEFAULT_LENGTH = 2048;

/** The `calibration:` of a stage. */
export interface CalibrationOptions {
  /** The text. */
  readonly data: TextData;
  /** Windows. */
  readonly samples: number;
  /** Tokens of a window; see {@linkcode calibrationShape}. */
  readonly length?: number | undefined;
  /** Windows of one forward pass, at most. */
  readonly batch_size: number;
  /** Whose activations the inputs of a block come from. */
  readonly activations: "quantized" | "full";
  /** Whether they come from quantized layers of the same block, too. */
  readonly true_sequential: boolean;
  /** Draws the windows instead of the seed of the experiment. */
  readonly seed?: number | undefined;
}

/** Schema of {@linkcode CalibrationOptions}. */
export const CALIBRATION: z.ZodType<CalibrationOptions> = z.strictObject({
  data: TEXT_DATA.describe("The text."),
  samples: z.int().positive().default(128)
    .describe("Windows, drawn from the text at random; none twice unless the text is short."),
  length: z.int().positive().optional()
    .describe("Tokens of a window; default: 2048, or the model's positions if it has fewer."),
  batch_size: z.int().positive().default(4)
    .describe("Windows of one forward pass: the largest divisor of `samples` up to this."),
  activations: z.enum(["quantized", "full"]).default("quantized")
    .describe(
      "Whether the inputs of a block come from quantized blocks before it, or from the model in " +
        "full precision.",
    ),
  true_sequential: z.boolean().default(false)
    .describe(
      "Whether the inputs of o_proj, of gate_proj and up_proj, and of down_proj come from the " +
        "quantized layers before them in the same block, too; a base that `initialize` reads is " +
        "quantized throughout, so there they always do.",
    ),
  seed: z.int().nonnegative().optional()
    .describe("Draws the windows; default: the seed of the experiment."),
}).refine(({ activations, true_sequential }) => !true_sequential || activations === "quantized", {
  message: "true_sequential needs activations: quantized",
  path: ["true_sequential"],
});

/** The numbers of windows and tokens that options come to for one model. */
export interface CalibrationShape {
  /** Windows. */
  readonly samples: number;
  /** Tokens of a window. */
  readonly length: number;
  /** Windows of one forward pass; divides `samples`. */
  readonly batchSize: number;
}

/**
 * The windows and tokens that options come to for one model.
 *
 * @throws {UserError} If a window does not fit the model's positions.
 *
 * @example
 * ```ts
 * import { calibrationShape } from "./options.ts";
 *
 * const { length, batchSize } = calibrationShape(
 *   { samples: 10, batch_size: 4 },
 *   { maxPositions: 512 },
 * );
 * if (length !== 512 || batchSize !== 2) throw new Error("all positions; 4 and 3 do not divide 10");
 * ```
 */
export function calibrationShape(
  options: Pick<CalibrationOptions, "samples" | "length" | "batch_size">,
  { maxPositions }: Pick<ModelConfig, "maxPositions">,
): CalibrationShape {
  const { samples, length = Math.min(DEFAULT_LENGTH, maxPositions) } = options;
  if (length > maxPositions) {
    throw new UserError(
      `Calibration windows of ${length} tokens do not fit the model's ${maxPositions} positions ` +
        `(max_position_embeddings); use a calibration.length of at most ${maxPositions}`,
    );
  }
  let batchSize = Math.min(options.batch_size, samples);
  while (samples % batchSize !== 0) batchSize--;
  return { samples, length, batchSize };
}

/** Files outside the store that calibration reads, for the key `calibration` of a stage. */
export function calibrationSources(options: CalibrationOptions | undefined): DataReference[] {
  return options === undefined ? [] : dataSources(options.data, "calibration.data");
}
