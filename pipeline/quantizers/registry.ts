/**
 * All quantizers. A new one is a file in this folder and its line in each of the three lists below.
 *
 * @module
 */

import { z } from "zod";
import { nf4, type Nf4Parameters } from "./nf4.ts";
import { none, type NoneParameters } from "./none.ts";
import type { Quantizer } from "./quantizer.ts";
import { rtn, type RtnParameters } from "./rtn.ts";

/** Parameters of any quantizer, told apart by `method`. */
export type QuantizerParameters = RtnParameters | Nf4Parameters | NoneParameters;

/** Schema of the `quantizer:` key of a `quantize` stage. */
export const quantizerSchema: z.ZodType<QuantizerParameters> = z.discriminatedUnion("method", [
  rtn.parameters,
  nf4.parameters,
  none.parameters,
]);

const quantizers = { rtn, nf4, none };

/**
 * The quantizer that a set of parameters belongs to.
 *
 * @example
 * ```ts
 * import { quantizerFor, quantizerSchema } from "./registry.ts";
 *
 * const parameters = quantizerSchema.parse({ method: "rtn", bits: 2, group_size: 4 });
 * const weight = quantizerFor(parameters).quantize(
 *   Float32Array.of(0, 1, 2, 3), 1, 4, parameters, "example",
 * );
 * if (weight.format !== "integer" || weight.scales[0] !== 1) throw new Error("grid 0, 1, 2, 3");
 * ```
 */
export function quantizerFor(parameters: QuantizerParameters): Quantizer<QuantizerParameters> {
  // The schema ties each set of parameters to the quantizer of its `method`.
  return quantizers[parameters.method] as Quantizer<QuantizerParameters>;
}
