/**
 * Linear layers that share an input, with their adapters.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import { lowRank } from "./low_rank.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";

/** {@linkcode Operations.linearGroup}. */
export function linearGroup(
  context: KernelContext,
  { input, layers, accumulate = false }: Arguments<"linearGroup">,
): Dispatch[] {
  return layers.flatMap(({ adapter, ...layer }) => [
    ...linear(context, { input, ...layer, accumulate }),
    ...(adapter ? lowRank(context, { input, ...adapter, output: layer.output }) : []),
  ]);
}

/** {@linkcode Operations.linearGroupTransposed}. */
export function linearGroupTransposed(
  context: KernelContext,
  { layers, gradInput, accumulate = false }: Arguments<"linearGroupTransposed">,
): Dispatch[] {
  return layers.flatMap((layer, index) =>
    linearTransposed(context, { ...layer, gradInput, accumulate: accumulate || index > 0 })
  );
}
