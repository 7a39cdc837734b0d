/**
 * No quantizer: the codes that a model folder comes with.
 *
 * @module
 */

import { z } from "zod";

/** Schema of {@linkcode CheckpointParameters}. */
export const CHECKPOINT: z.ZodObject<{ method: z.ZodLiteral<"checkpoint"> }, z.core.$strict> = z
  .strictObject({
    method: z.literal("checkpoint").describe(
      "Take the codes that the folder has: a GPTQ or bitsandbytes NF4 checkpoint, or a folder that " +
        "this program quantized.",
    ),
  });

/** Take the codes of a folder as they are. */
export interface CheckpointParameters {
  /** The value of `method:` in the experiment file. */
  readonly method: "checkpoint";
}
