/**
 * All quantizers. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import { z } from "zod";
import { billm } from "./billm.ts";
import { CHECKPOINT, type CheckpointParameters } from "./checkpoint.ts";
import { gptq } from "./gptq.ts";
import { nf4 } from "./nf4.ts";
import { none } from "./none.ts";
import type { Quantizer } from "./quantizer.ts";
import { rtn } from "./rtn.ts";
import { slimLlm } from "./slim_llm.ts";

const quantizers = [rtn, nf4, gptq, slimLlm, billm, none] as const;

type ParametersOf<Method> = Method extends Quantizer<infer Parameters> ? Parameters : never;

/** Parameters of any quantizer, told apart by `method`. */
export type QuantizerParameters = ParametersOf<typeof quantizers[number]>;

const schemas = quantizers.map(({ parameters }) => parameters);

/** Schema of a quantizer's parameters. */
export const quantizerSchema: z.ZodType<QuantizerParameters> = z.discriminatedUnion(
  "method",
  [...schemas] as [typeof rtn.parameters],
) as unknown as z.ZodType<QuantizerParameters>; // the interface forgets the exact schemas

/** What the `quantizer:` key of a `quantize` stage says: a method, or that there are codes already. */
export type QuantizerChoice = QuantizerParameters | CheckpointParameters;

/** Schema of {@linkcode QuantizerChoice}. */
export const quantizerChoiceSchema: z.ZodType<QuantizerChoice> = z.discriminatedUnion(
  "method",
  [...schemas, CHECKPOINT] as unknown as [typeof rtn.parameters],
) as unknown as z.ZodType<QuantizerChoice>;

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
  const quantizer = quantizers.find(({ name }) => name === parameters.method);
  if (quantizer === undefined) throw new RangeError(`Unknown quantizer ${parameters.method}`);
  // The schema ties each set of parameters to the quantizer of its `method`.
  return quantizer as Quantizer<QuantizerParameters>;
}
