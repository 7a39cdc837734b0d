/**
 * No quantization: the baseline row, and the start of pretraining and full fine-tuning.
 *
 * @module
 */

import { z } from "zod";
import type { HostDenseWeight } from "../formats/host_weight.ts";
import { checkWeights, type Quantizer } from "./quantizer.ts";

const parameters = z.strictObject({ method: z.literal("none") });

/** Parameters of {@linkcode none}. */
export type NoneParameters = z.output<typeof parameters>;

/** Keeps weights in f32. */
export const none: Quantizer<NoneParameters> = {
  name: "none",
  summary: "no quantization: f32 weights",
  parameters,
  describe: () => "f32, 32 bits per weight",
  format: () => null,
  quantize(weights, rows, columns, _parameters, layer): HostDenseWeight {
    checkWeights(weights, rows, columns, layer);
    return { format: "dense", rows, columns, values: weights };
  },
};
