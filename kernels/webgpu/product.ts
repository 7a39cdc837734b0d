/**
 * One matrix product for all operations: `output (+)= scale * left right (+ bias)`, where `left` and
 * `right` may be transposed in place and `right` may be a packed weight. Chooses the kernel for the
 * device class, and splits long reductions with small outputs (gradients of weights: thousands of
 * tokens, a few tiles) over workgroups, with a second pass that adds the parts in a fixed order.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { decoderOf } from "./decode.ts";
import { perElement } from "./per_element.ts";
import { hasLaneProducts, laneProduct, laneTile, transposeNarrow } from "./lane_product.ts";
import { isBindable, shardedProduct } from "./product_shards.ts";
import type { Product, SlicedProduct } from "./product_types.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { fits } from "./shards.ts";
import { sharedProduct, sharedTile } from "./shared_product.ts";
import { vectorProduct } from "./vector_product.ts";
import { f32, u32 } from "./wgsl.ts";

/** Reductions are not cut finer than this: the second pass would cost more than it wins. */
const MINIMUM_SLICE = 64;

/** Storage buffers that every WebGPU device can bind in one dispatch. */
const STORAGE_BUFFERS = 8;

/** The dispatches of a product. */
export function product(context: KernelContext, original: Product): Dispatch[] {
  const { profile } = context;
  if (original.addend && storageBuffers(original) > STORAGE_BUFFERS) {
    return addAfterwards(context, original);
  }
  const anyRows = profile.independentRows === true;
  const suitsVectors = !anyRows && fitsBindings(profile, original);
  const vector = suitsVectors ? vectorProduct(context, original) : null;
  if (vector) return vector;
  if (original.addend && !addsInPass(profile, original)) return addAfterwards(context, original);
  if (!isBindable(profile, original)) return shardedProduct(context, original, product);
  const inLanes = hasLaneProducts(profile);
  const args = inLanes && !anyRows ? transposeNarrow(original) : original;
  const tile = inLanes ? laneTile(profile, args) : sharedTile(profile, args);
  const run = (sliced: SlicedProduct) =>
    inLanes ? laneProduct(context, sliced) : sharedProduct(context, sliced);
  const tiles = Math.ceil(args.M / tile.rows) * Math.ceil(args.N / tile.columns);
  const slices = anyRows || "weight" in args.right || args.bias || args.addend ? 1 : Math.min(
    Math.ceil(tile.wantedWorkgroups / tiles),
    Math.floor(args.K / MINIMUM_SLICE),
    Math.floor(profile.maxBindingBytes / (4 * args.output.size)),
  );
  if (slices <= 1) return [run({ ...args, slices: 1, sliceDepth: args.K })];
  const sliceDepth = Math.ceil(args.K / slices / tile.depth) * tile.depth;
  const parts = Math.ceil(args.K / sliceDepth);
  const partial = context.scratch("f32", [parts, args.M, args.N]);
  return [
    run({
      ...args,
      output: partial,
      scale: 1,
      accumulate: false,
      slices: parts,
      sliceDepth,
    }),
    addSlices(context, args, partial, parts),
  ];
}

/** Whether one dispatch can compute a product and its addend. */
function addsInPass(profile: Profile, product: Product): boolean {
  return hasLaneProducts(profile) && fitsBindings(profile, product);
}

/** Whether every tensor of a product and its addend can be bound whole. */
function fitsBindings(profile: Profile, product: Product): boolean {
  const tensors = [product.addend?.left.tensor, product.addend?.right.tensor];
  return isBindable(profile, product) &&
    tensors.every((tensor) => !tensor || fits(profile, tensor));
}

/** Buffers that the product binds together with its addend. */
function storageBuffers({ right, bias, addend }: Product): number {
  const ofRight = "weight" in right ? decoderOf(right.weight).storage.length : 1;
  return ofRight + (addend ? 4 : 2) + (bias ? 1 : 0);
}

/** A product and its addend, one after the other. */
function addAfterwards(context: KernelContext, { addend, ...first }: Product): Dispatch[] {
  const dispatches = product(context, first);
  if (!addend) return dispatches;
  const second = { ...first, ...addend, label: `${first.label} addend`, bias: null };
  return [...dispatches, ...product(context, { ...second, accumulate: true })];
}

/** `output (+)= scale * sum over slices`, in order of the slices. */
function addSlices(
  context: KernelContext,
  { label, output, scale, accumulate }: Product,
  partial: Tensor,
  slices: number,
): Dispatch {
  return perElement(context.profile, {
    label: `${label} sum of slices`,
    size: output.size,
    storage: [
      { name: "partial", tensor: partial, access: "read", element: "f32" },
      { name: "output", tensor: output, access: "read_write", element: "f32" },
    ],
    uniforms: { slices: u32(slices), scale: f32(scale) },
    code: `  var sum = 0.0;
  for (var slice = 0u; slice < parameters.slices; slice++) {
    sum += partial[slice * parameters.size + index];
  }
  output[index] = ${
      accumulate ? "fma(parameters.scale, sum, output[index])" : "parameters.scale * sum"
    };`,
  });
}
