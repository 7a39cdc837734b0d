/**
 * Linear layers that share an input, with their adapters.
 *
 * @module
 */

import type { GroupedLinear, Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { lowRank, lowRankHidden } from "./low_rank.ts";
import type { Addend } from "./product_types.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { linear, linearTransposed } from "./quantized_linear.ts";

/** {@linkcode Operations.linearGroup}. */
export function linearGroup(
  context: KernelContext,
  { input, layers, accumulate = false }: Arguments<"linearGroup">,
): Dispatch[] {
  return layers.flatMap((layer) => adaptedLinear(context, input, layer, accumulate));
}

/** One layer; its adapter is added in the pass of the weight unless it repeats its outputs. */
function adaptedLinear(
  context: KernelContext,
  input: Tensor,
  { adapter, ...layer }: GroupedLinear,
  accumulate: boolean,
): Dispatch[] {
  const args = { input, ...layer, accumulate };
  if (!adapter) return linear(context, args);
  const product = { input, ...adapter };
  if (adapter.repeat > 1) {
    return [...linear(context, args), ...lowRank(context, { ...product, output: layer.output })];
  }
  return [...lowRankHidden(context, product), ...linear(context, args, adapterProduct(adapter))];
}

/** `scale hidden B^T`. */
function adapterProduct(
  { hidden, b, scale }: NonNullable<GroupedLinear["adapter"]>,
): Addend {
  return {
    K: hidden.shape[1] as number,
    left: { tensor: hidden, transposed: false },
    right: { tensor: b, transposed: true },
    scale,
  };
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
