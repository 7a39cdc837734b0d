/**
 * No preprocessing, so that a grid can have it beside the methods that do something.
 *
 * @module
 */

import { z } from "zod";
import type { Preprocessor } from "./preprocessor.ts";

const parameters = z.strictObject({ method: z.literal("none") });

/** Parameters of {@linkcode none}. */
export type NoneParameters = z.output<typeof parameters>;

/** Leaves weights as they are. */
export const none: Preprocessor<NoneParameters> = {
  name: "none",
  summary: "weights as they are",
  parameters,
  preprocess: (weights) => weights.slice(),
};
