/**
 * From an update of the weights to what an initializer returns.
 *
 * @module
 */

import type { HostWeight } from "../formats/host_weight.ts";
import type { InitializedLayer, InitializerLayer } from "./initializer.ts";
import { withError } from "./pooled_error.ts";
import { storeUpdate } from "./pooled_factors.ts";
import type { TileUpdate } from "./pooled_tiles.ts";

/** What a method has found for a layer. */
export interface Correction {
  /** What the adapter is to add to each tile. */
  readonly update: TileUpdate;
  /** See {@linkcode storeUpdate}. */
  readonly weights?: Float64Array;
  /** The base that the update corrects. */
  readonly base: HostWeight;
  /** For the user: fallbacks that were needed. */
  readonly remarks?: readonly string[];
}

/** The adapter, the base if it is another one, the errors, and remarks on what was not as asked. */
export function initialized(layer: InitializerLayer, correction: Correction): InitializedLayer {
  const { update, weights, base, remarks = [] } = correction;
  const { rank } = layer.shape;
  const missing = update.right === null ? 0 : rank - update.left.columns;
  return withError(layer, {
    module: storeUpdate(layer, update, weights),
    ...(base === layer.base ? {} : { base }),
    remarks: missing === 0 ? remarks : [
      ...remarks,
      `its correction has rank ${
        rank - missing
      }: the other ${missing} of ${rank} components start ` +
      `as zero`,
    ],
  });
}
