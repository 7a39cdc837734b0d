/**
 * All initializers. A new one is a file in this folder and a place in one of these lists.
 *
 * @module
 */

import { z } from "zod";
import { apiqBw } from "./apiq_bw.ts";
import { apiqLw } from "./apiq_lw.ts";
import { cloq } from "./cloq.ts";
import { gaussian } from "./gaussian.ts";
import type { Initializer } from "./initializer.ts";
import { loftq } from "./loftq.ts";
import type { ModelInitializer } from "./model_initializer.ts";
import { pissa } from "./pissa.ts";
import { quailora } from "./quailora.ts";
import { rilq } from "./rilq.ts";
import { zero } from "./zero.ts";

/** Methods that fill one layer after the other. */
const layerMethods = [zero, gaussian, pissa, loftq, quailora, cloq] as const;

/** Methods that train the adapters of a model together. */
const modelMethods = [apiqLw, apiqBw, rilq] as const;

type ParametersOf<Method> = Method extends
  Initializer<infer Parameters> | ModelInitializer<infer Parameters> ? Parameters : never;

/** Parameters of an initializer that works layer by layer, told apart by `method`. */
export type LayerInitializerParameters = ParametersOf<typeof layerMethods[number]>;

/** Parameters of an initializer that trains a whole model, told apart by `method`. */
export type ModelInitializerParameters = ParametersOf<typeof modelMethods[number]>;

/** Parameters of any initializer. */
export type InitializerParameters = LayerInitializerParameters | ModelInitializerParameters;

const methods = [...layerMethods, ...modelMethods];

const maps = z.discriminatedUnion(
  "method",
  methods.map(({ parameters }) => parameters) as unknown as [typeof zero.parameters],
) as unknown as z.ZodType<InitializerParameters>; // the interface forgets the exact schemas

const names = z.enum(methods.map(({ name }) => name))
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

/** Whether the parameters belong to a method that trains a whole model. */
export function trainsModel(
  parameters: InitializerParameters,
): parameters is ModelInitializerParameters {
  return modelMethods.some(({ name }) => name === parameters.method);
}

/** The initializer that a set of parameters belongs to. */
export function initializerFor(
  parameters: LayerInitializerParameters,
): Initializer<LayerInitializerParameters> {
  const initializer = layerMethods.find(({ name }) => name === parameters.method);
  if (initializer === undefined) throw new RangeError(`Unknown initializer ${parameters.method}`);
  // The schema ties each set of parameters to the initializer of its `method`.
  return initializer as Initializer<LayerInitializerParameters>;
}

/** Like {@linkcode initializerFor}, for methods that train a whole model. */
export function modelInitializerFor(
  parameters: ModelInitializerParameters,
): ModelInitializer<ModelInitializerParameters> {
  const initializer = modelMethods.find(({ name }) => name === parameters.method);
  if (initializer === undefined) throw new RangeError(`Unknown initializer ${parameters.method}`);
  return initializer as ModelInitializer<ModelInitializerParameters>; // as above
}
