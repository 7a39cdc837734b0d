/**
 * LoftQ: the quantized weights and the adapter, in turns, nearest to the weights.
 *
 * @module
 */

import { z } from "zod";
import type { Initializer } from "./initializer.ts";
import { withError } from "./pooled_error.ts";
import { splitWeights } from "./pooled_factors.ts";
import { initialized } from "./pooled_result.ts";
import { nearestUpdate } from "./pooled_svd.ts";
import { quantizationError, withoutUpdate } from "./pooled_tiles.ts";
import { originalOf, requantizerOf } from "./requirements.ts";
import { zeroModule } from "./zero.ts";

const parameters = z.strictObject({
  method: z.literal("loftq"),
  iterations: z.int().nonnegative().default(1)
    .describe("Rounds T: the paper uses 5, its released code and PEFT 1; 0 is init: zero."),
});

/** Parameters of {@linkcode loftq}. */
export type LoftqParameters = z.output<typeof parameters>;

/**
 * Li et al. 2023, "LoftQ", algorithm 1: `Q ← quantize(W - BA)`, then BA ← the truncated singular value
 * decomposition of W - Q, T times. The Q of the first round is the base as it is given. The rounds do
 * not lower the error every time, only their second halves do; the last pair is returned, as in the
 * paper.
 *
 * The scaled product is the decomposition: `scale B A` is what was fitted to W - Q. PEFT's loftq stores
 * factors whose product is that before it is scaled, and so starts `scale` times as far from Q unless
 * alpha is the rank. With pools the adapter is the nearest update that is constant on tiles, and for
 * QA-HiRA the means of tiles.
 */
export const loftq: Initializer<LoftqParameters> = {
  name: "loftq",
  summary: "quantize and fit W - Q by its singular values, in turns, without data (LoftQ)",
  parameters,
  needsOriginal: true,
  initialize(layer, { iterations }) {
    const { linear, shape, seed } = layer;
    if (iterations === 0) return withError(layer, { module: zeroModule(linear, shape, seed) });
    const weights = originalOf(layer, "loftq");
    let base = layer.base;
    let update = nearestUpdate(quantizationError(weights, base), shape);
    for (let round = 1; round < iterations; round++) {
      base = requantizerOf(layer, "loftq")(withoutUpdate(weights, update, shape));
      update = nearestUpdate(quantizationError(weights, base), shape);
    }
    const split = splitWeights(update.singularValues, "sqrt", shape.scale / shape.pool);
    return initialized(layer, { update, weights: split, base });
  },
};
