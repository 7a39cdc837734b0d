/**
 * PiSSA: the principal part of the weights trains, what is left of them is the base.
 *
 * @module
 */

import { z } from "zod";
import type { HostWeight } from "../formats/host_weight.ts";
import type { Initializer, InitializerLayer } from "./initializer.ts";
import { splitWeights } from "./pooled_factors.ts";
import { initialized } from "./pooled_result.ts";
import { nearestUpdate } from "./pooled_svd.ts";
import { withoutUpdate } from "./pooled_tiles.ts";
import { originalOf, requantizerOf, requirePair } from "./requirements.ts";

const parameters = z.strictObject({ method: z.literal("pissa") });

/** Parameters of {@linkcode pissa}. */
export type PissaParameters = z.output<typeof parameters>;

/**
 * Meng, Wang & Zhang 2024, "PiSSA": with W = U Σ Vᵀ, B = U_r √Σ_r and A = √Σ_r V_rᵀ (divided by the
 * root of the scale each), and W - BA as the base. On a quantized base that residual is quantized, which
 * is QPiSSA: it has the smaller values, so its error is smaller than that of W. With pools, the
 * principal part is the nearest update of that rank that an adapter of the form can be.
 */
export const pissa: Initializer<PissaParameters> = {
  name: "pissa",
  summary: "principal singular values of the weights; the base is the (quantized) rest (PiSSA)",
  parameters,
  needsOriginal: true,
  initialize(layer) {
    requirePair(layer, "pissa", "it takes the principal components of a rank");
    const { shape } = layer;
    const weights = originalOf(layer, "pissa");
    const principal = nearestUpdate(weights, shape);
    const split = splitWeights(principal.singularValues, "sqrt", shape.scale / shape.pool);
    const base = residualBase(layer, withoutUpdate(weights, principal, shape));
    return initialized(layer, { update: principal, weights: split, base });
  },
};

function residualBase(layer: InitializerLayer, residual: Float32Array): HostWeight {
  const { base } = layer;
  return base.format === "dense"
    ? { ...base, values: residual }
    : requantizerOf(layer, "pissa")(residual);
}
