/**
 * Squared error of activations and its gradient, row by row.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import {
  dispatchOf,
  f32,
  reductions,
  rowLanes,
  splitWork,
  sumOf,
  u32,
  vectorType,
  vectorWidth,
} from "./wgsl.ts";

/** `losses = sum over columns of (prediction - target)^2`, `gradient (+)= 2 scale (prediction - target)`. */
export function squaredError(
  { profile }: KernelContext,
  { prediction, target, scale, losses, gradient, accumulate }: Arguments<"squaredError">,
): Dispatch[] {
  const [rows, columns] = prediction.shape as [number, number];
  const width = vectorWidth(columns);
  const element = vectorType(width);
  const lanes = rowLanes(profile, columns);
  const update = gradient
    ? `\n      gradient[base + column] ${
      accumulate ? "+=" : "="
    } parameters.twice_scale * difference;`
    : "";
  const layouts = [prediction, target, losses, ...(gradient ? [gradient] : [])]
    .map((tensor) => rowLayout(tensor, rows));
  return rowRanges(profile, rows, layouts).map((range) => {
    const [predicted, wanted, sums, slope] = layouts.map((layout) => rowsOf(layout, range)) as [
      Tensor,
      Tensor,
      Tensor,
      Tensor?,
    ];
    const split = splitWork(profile, range.count);
    return dispatchOf(profile, {
      label: "squaredError",
      storage: [
        { name: "predicted", tensor: predicted, access: "read", element },
        { name: "wanted", tensor: wanted, access: "read", element },
        { name: "losses", tensor: sums, access: "read_write", element: "f32" },
        ...(slope
          ? [{ name: "gradient", tensor: slope, access: "read_write", element } as const]
          : []),
      ],
      uniforms: {
        rows: u32(range.count),
        columns: u32(columns / width),
        per_group: u32(split.perGroup),
        twice_scale: f32(2 * scale),
      },
      body: `
${reductions(profile, lanes, { reduce_sum: "add" })}

@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    let base = row * parameters.columns;
    var squares = ${element}();
    for (var column = lane; column < parameters.columns; column += ${lanes}u) {
      let difference = predicted[base + column] - wanted[base + column];
      squares = fma(difference, difference, squares);${update}
    }
    let loss = reduce_sum(${sumOf(width, "squares")}, lane);
    if (lane == 0u) {
      losses[row] = loss;
    }
  }
}
`,
      workgroups: [split.groups, 1, 1],
    });
  });
}
