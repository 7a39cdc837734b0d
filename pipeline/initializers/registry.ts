/**
 * All initializers. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import { z } from "zod";
import { cloq } from "./cloq.ts";
import { gaussian } from "./gaussian.ts";
import type { Initializer } from "./initializer.ts";
import { loftq } from "./loftq.ts";
import { pissa } from "./pissa.ts";
import { quailora } from "./quailora.ts";
import { zero } from "./zero.ts";

const initializers = [zero, gaussian, pissa, loftq, quailora, cloq] as const;

type ParametersOf<Method> = Method extends Initializer<infer Parameters> ? Parameters : never;

/** Parameters of any initializer, told apart by `method`. */
export type InitializerParameters = ParametersOf<typeof initializers[number]>;

const maps = z.discriminatedUnion(
  "method",
  [...initializers.map(({ parameters }) => parameters)] as [typeof zero.parameters],
) as unknown as z.ZodType<InitializerParameters>; // the interface forgets the exact schemas

const names = z.enum(initializers.map(({ name }) => name))
  .transform((method) => maps.parse({ method }));

/**
 * Schema of the `init:` key of an `initialize` stage: a map, or the name of a method alone, which
 * stands for the method with its defaults.
 *
 * @example
 * ```ts
 * import { initializerSchema } from "./registry.ts";
 *
 * if (initializerSchema.parse("zero").method !== "zero") throw new Error("a name is a map");
 * ```
 */
export const initializerSchema: z.ZodType<InitializerParameters> = z.union([names, maps]);

/** Names of all initializers. */
export const initializerNames: readonly string[] = initializers.map(({ name }) => name);

/** The initializer that a set of parameters belongs to. */
export function initializerFor(
  parameters: InitializerParameters,
): Initializer<InitializerParameters> {
  const initializer = initializers.find(({ name }) => name === parameters.method);
  if (initializer === undefined) throw new RangeError(`Unknown initializer ${parameters.method}`);
  // The schema ties each set of parameters to the initializer of its `method`.
  return initializer as Initializer<InitializerParameters>;
}
