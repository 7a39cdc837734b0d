/**
 * The adapter starts as zero, with a Gaussian A.
 *
 * @module
 */

import { z } from "zod";
import { RandomStream } from "../../kernels/random.ts";
import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { Initializer } from "./initializer.ts";

const parameters = z.strictObject({ method: z.literal("gaussian") });

/** Parameters of {@linkcode gaussian}. */
export type GaussianParameters = z.output<typeof parameters>;

/**
 * A ~ N(0, (1/R)²) with the rank R of the pair, B = 0.
 *
 * LoRA's paper (Hu et al. 2021, section 4.1) says "random Gaussian" and no more. The standard deviation
 * here is the one that has been trained with: PEFT's `init_lora_weights="gaussian"`, which RILQ's
 * released code copies. N(0, 1/R), which some texts print, has a standard deviation of 1/√R. The single
 * matrix of QA-HiRA plays the part of B and is zero.
 */
export const gaussian: Initializer<GaussianParameters> = {
  name: "gaussian",
  summary: "A Gaussian with standard deviation 1/rank as in PEFT, B zero",
  parameters,
  initialize: ({ linear, shape, seed }) => ({ module: gaussianModule(linear, shape, seed) }),
};

/** See {@linkcode gaussian}. */
export function gaussianModule(linear: LinearShape, shape: AdapterShape, seed: number): HostModule {
  const b = new Float32Array(shape.b[0] * shape.b[1]);
  if (shape.a === null) return { shape, a: null, b };
  const [rank, inputs] = shape.a;
  const random = new RandomStream(seed, `initialize ${linear.path}`);
  const a = Float32Array.from(
    { length: rank * inputs },
    (_, index) => random.normal(index) / rank,
  );
  return { shape, a, b };
}
