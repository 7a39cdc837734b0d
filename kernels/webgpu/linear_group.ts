/**
 * Linear layers that share an input, with their adapters. On hardware they are one dispatch, as far as
 * its bindings reach; on software, which gains nothing from that, one for each layer.
 *
 * @module
 */

import type { GroupedLinear, Tensor } from "../device.ts";
import { type Arguments, checkLinearGroup, checkLinearGroupTransposed } from "../shapes.ts";
import { decoderOf } from "./decode.ts";
import { hasLaneProducts } from "./lane_product.ts";
import { lowRank, lowRankHidden } from "./low_rank.ts";
import type { Addend } from "./product_types.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { factor, linear, linearTransposed } from "./quantized_linear.ts";
import { fits } from "./shards.ts";
import { groupBuffers, type Part, type ProductGroup, sharedGroup } from "./shared_group.ts";
import { MOST_ROWS } from "./vector_product.ts";

/** Storage buffers that every WebGPU device can bind in one dispatch. */
const STORAGE_BUFFERS = 8;

/** {@linkcode Operations.linearGroup}. */
export function linearGroup(
  context: KernelContext,
  args: Arguments<"linearGroup">,
): Dispatch[] {
  const { input, layers, accumulate = false } = args;
  const byLayer = () => layers.flatMap((layer) => adaptedLinear(context, input, layer, accumulate));
  const [first] = checkLinearGroup(args);
  if (!first || !groups(context.profile, first.M)) return byLayer();
  const parts = layers.map((layer) => partOf(input, layer));
  const runs = runsThatFit(context.profile, parts, (run) => ({
    label: "linearGroup",
    M: first.M,
    parts: run,
    accumulate,
  }));
  if (!runs) return byLayer();
  return [
    ...layers.flatMap(({ adapter }) =>
      adapter && adapter.repeat === 1 ? lowRankHidden(context, { input, ...adapter }) : []
    ),
    ...runs.map((run) => sharedGroup(context, run)),
    ...layers.flatMap(({ adapter, output }) =>
      adapter && adapter.repeat > 1 ? lowRank(context, { input, ...adapter, output }) : []
    ),
  ];
}

/** {@linkcode Operations.linearGroupTransposed}. */
export function linearGroupTransposed(
  context: KernelContext,
  args: Arguments<"linearGroupTransposed">,
): Dispatch[] {
  const { layers, gradInput, accumulate = false } = args;
  const dimensions = checkLinearGroupTransposed(args);
  const [first] = dimensions;
  if (first && groups(context.profile, first.M)) {
    // The outputs of the layers are the reduction here, their inputs the columns.
    const terms = layers.map(({ gradOutput, weight }, index) => ({
      K: dimensions[index]?.N ?? 0,
      left: { tensor: gradOutput, transposed: false },
      right: factor(weight, false),
    }));
    const part = { N: first.K, terms, output: gradInput, bias: null };
    const runs = runsThatFit(context.profile, [part], (parts) => ({
      label: "linearGroupTransposed",
      M: first.M,
      parts,
      accumulate,
    }));
    if (runs) return runs.map((run) => sharedGroup(context, run));
  }
  return layers.flatMap((layer, index) =>
    linearTransposed(context, { ...layer, gradInput, accumulate: accumulate || index > 0 })
  );
}

/** Whether one dispatch for several layers wins anything: few rows have kernels of their own. */
function groups(profile: Profile, M: number): boolean {
  return !hasLaneProducts(profile) && (profile.independentRows === true || M > MOST_ROWS);
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

/** A layer and, unless it repeats its outputs, its adapter. */
function partOf(input: Tensor, { weight, bias, adapter, output }: GroupedLinear): Part {
  const main = {
    K: weight.columns,
    left: { tensor: input, transposed: false },
    right: factor(weight, true),
  };
  return {
    N: weight.rows,
    terms: adapter && adapter.repeat === 1 ? [main, adapterProduct(adapter)] : [main],
    output,
    bias: bias ?? null,
  };
}

/** Parts in as few dispatches as bindings allow, or null where one part alone is too much. */
function runsThatFit(
  profile: Profile,
  parts: readonly Part[],
  groupOf: (parts: readonly Part[]) => ProductGroup,
): ProductGroup[] | null {
  const limit = profile.maxStorageBuffers ?? STORAGE_BUFFERS;
  const fitting = (run: ProductGroup) => groupBuffers(run) <= limit;
  const runs: ProductGroup[] = [];
  for (const part of parts) {
    const longer = groupOf([...runs.at(-1)?.parts ?? [], part]);
    const alone = groupOf([part]);
    if (!fitting(alone) || !tensorsOf(part).every((tensor) => fits(profile, tensor))) return null;
    if (runs.length > 0 && fitting(longer)) runs[runs.length - 1] = longer;
    else runs.push(alone);
  }
  return runs;
}

function tensorsOf({ terms, output }: Part): Tensor[] {
  return [
    output,
    ...terms.flatMap(({ left, right }) => [
      left.tensor,
      ...("weight" in right
        ? decoderOf(right.weight).storage.map(({ tensor }) => tensor)
        : [right.tensor]),
    ]),
  ];
}
