/**
 * The adapter starts as zero: A is random, B is zero, so that training starts from the base model.
 *
 * @module
 */

import { z } from "zod";
import { RandomStream } from "../../kernels/random.ts";
import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { Initializer } from "./initializer.ts";

const parameters = z.strictObject({ method: z.literal("zero") });

/** Parameters of {@linkcode zero}. */
export type ZeroParameters = z.output<typeof parameters>;

/** See {@linkcode zeroModule}. */
export const zero: Initializer<ZeroParameters> = {
  name: "zero",
  summary: "A Kaiming-uniform, B zero: training starts from the base model exactly",
  parameters,
  initialize: ({ linear, shape, seed }) => ({ module: zeroModule(linear, shape, seed) }),
};

/**
 * A ~ U(-1/sqrt(fan_in), 1/sqrt(fan_in)) with the pooled fan-in, which is PyTorch's
 * `kaiming_uniform_(a=sqrt(5))` of the released LoRA and Q-BLoRA; B = 0. The single matrix of QA-HiRA
 * is zero too: its released code leaves it random, which moves the model before the first step.
 *
 * @param index Tells apart the adapters that one layer gets one after the other, under one seed.
 */
export function zeroModule(
  linear: LinearShape,
  shape: AdapterShape,
  seed: number,
  index = 0,
): HostModule {
  const b = new Float32Array(shape.b[0] * shape.b[1]);
  if (shape.a === null) return { shape, a: null, b };
  const [rank, inputs] = shape.a;
  const bound = 1 / Math.sqrt(inputs);
  const random = new RandomStream(seed, `initialize ${linear.path}`, index);
  const a = Float32Array.from(
    { length: rank * inputs },
    (_, element) => bound * (2 * random.uniform(element) - 1),
  );
  return { shape, a, b };
}
