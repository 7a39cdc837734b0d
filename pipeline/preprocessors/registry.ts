/**
 * All preprocessors. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import { z } from "zod";
import { magr } from "./magr.ts";
import { none } from "./none.ts";
import type { Preprocessor } from "./preprocessor.ts";

const preprocessors = [none, magr] as const;

type ParametersOf<Method> = Method extends Preprocessor<infer Parameters> ? Parameters : never;

/** Parameters of any preprocessor, told apart by `method`. */
export type PreprocessorParameters = ParametersOf<typeof preprocessors[number]>;

/** Schema of the `preprocess:` key of a `quantize` stage. */
export const preprocessorSchema: z.ZodType<PreprocessorParameters> = z.discriminatedUnion(
  "method",
  [...preprocessors.map(({ parameters }) => parameters)] as [typeof none.parameters],
) as unknown as z.ZodType<PreprocessorParameters>; // the interface forgets the exact schemas

/** The preprocessor that a set of parameters belongs to. */
export function preprocessorFor(
  parameters: PreprocessorParameters,
): Preprocessor<PreprocessorParameters> {
  const preprocessor = preprocessors.find(({ name }) => name === parameters.method);
  if (preprocessor === undefined) throw new RangeError(`Unknown preprocessor ${parameters.method}`);
  // The schema ties each set of parameters to the preprocessor of its `method`.
  return preprocessor as Preprocessor<PreprocessorParameters>;
}
