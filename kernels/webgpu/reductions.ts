/**
 * Reductions to one number, in a fixed order.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import { dispatchOf, f32, reductions, rowLanes, u32 } from "./wgsl.ts";

/** Elements that one workgroup of the first pass of a norm sums at least. */
const LEAST_BLOCK = 4096;

/** Partial sums per tensor at most. */
const MOST_BLOCKS = 256;

/** `output = sum of weights * values`, in one workgroup: tokens are few. */
export function weightedSum(
  { profile }: KernelContext,
  { values, weights, output }: Arguments<"weightedSum">,
): Dispatch[] {
  const lanes = rowLanes(profile, values.size);
  return [dispatchOf(profile, {
    label: "weightedSum",
    storage: [
      { name: "values", tensor: values, access: "read", element: "f32" },
      { name: "weights", tensor: weights, access: "read", element: "f32" },
      { name: "output", tensor: output, access: "read_write", element: "f32" },
    ],
    uniforms: { size: u32(values.size) },
    body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var index = lane; index < parameters.size; index += ${lanes}u) {
    sum = fma(weights[index], values[index], sum);
  }
  let total = reduce_sum(sum, lane);
  if (lane == 0u) {
    output[0] = total;
  }
}
`,
    workgroups: [1, 1, 1],
  })];
}

/** Squares summed by blocks of each tensor, then over all blocks. */
export function gradientNorm(
  context: KernelContext,
  { gradients, maxNorm, output }: Arguments<"gradientNorm">,
): Dispatch[] {
  const { profile } = context;
  const parts = gradients.flatMap((gradient) => {
    const layout = rowLayout(gradient, gradient.size);
    return rowRanges(profile, gradient.size, [layout]).map((range) => rowsOf(layout, range));
  });
  const blocks = parts.map(({ size }) => Math.min(MOST_BLOCKS, Math.ceil(size / LEAST_BLOCK)));
  const count = blocks.reduce((sum, block) => sum + block, 0);
  const partial = context.scratch("f32", [Math.max(count, 1)]);
  let first = 0;
  const dispatches = parts.map((part, index) => {
    const dispatch = sumSquares(profile, part, partial, first, blocks[index] as number);
    first += blocks[index] as number;
    return dispatch;
  });
  return [...dispatches, clipFactor(profile, partial, count, maxNorm, output)];
}

function sumSquares(
  profile: Profile,
  gradient: Tensor,
  partial: Tensor,
  first: number,
  blocks: number,
): Dispatch {
  const vectors = Math.ceil(gradient.size / 4);
  const lanes = rowLanes(profile, LEAST_BLOCK);
  return dispatchOf(profile, {
    label: "gradientNorm squares",
    storage: [
      { name: "gradient", tensor: gradient, access: "read", element: "vec4<f32>" },
      { name: "partial_sums", tensor: partial, access: "read_write", element: "f32" },
    ],
    uniforms: {
      vectors: u32(vectors),
      tail: u32(gradient.size % 4),
      block: u32(Math.ceil(vectors / blocks)),
      first: u32(first),
    },
    body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let start = group.x * parameters.block;
  let end = min(start + parameters.block, parameters.vectors);
  var squares = vec4<f32>();
  for (var index = start + lane; index < end; index += ${lanes}u) {
    var value = gradient[index];
    if (parameters.tail > 0u && index + 1u == parameters.vectors) {
      let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(parameters.tail);
      value = select(vec4<f32>(), value, inside);
    }
    squares = fma(value, value, squares);
  }
  let total = reduce_sum(dot(squares, vec4<f32>(1.0)), lane);
  if (lane == 0u) {
    partial_sums[parameters.first + group.x] = total;
  }
}
`,
    workgroups: [blocks, 1, 1],
  });
}

/** `output = [norm, min(1, maxNorm / (norm + 1e-6))]`; a NaN norm gives a NaN factor. */
function clipFactor(
  profile: Profile,
  partial: Tensor,
  count: number,
  maxNorm: number,
  output: Tensor,
): Dispatch {
  const lanes = rowLanes(profile, count);
  const clips = Number.isFinite(maxNorm);
  return dispatchOf(profile, {
    label: "gradientNorm factor",
    storage: [
      { name: "partial_sums", tensor: partial, access: "read", element: "f32" },
      { name: "output", tensor: output, access: "read_write", element: "f32" },
    ],
    uniforms: { count: u32(count), clips: u32(clips ? 1 : 0), max_norm: f32(clips ? maxNorm : 1) },
    body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var index = lane; index < parameters.count; index += ${lanes}u) {
    sum += partial_sums[index];
  }
  let norm = sqrt(reduce_sum(sum, lane));
  if (lane == 0u) {
    let factor = parameters.max_norm / (norm + 1e-6);
    output[0] = norm;
    output[1] = select(factor, 1.0, parameters.clips == 0u || factor > 1.0);
  }
}
`,
    workgroups: [1, 1, 1],
  });
}
