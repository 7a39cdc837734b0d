/**
 * Rotary position embedding (Su et al. 2021), in place.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { dispatchOf, splitWork, u32, vectorType } from "./wgsl.ts";

/** Rotates pairs `(x, y)` to `(x cos - y sin, y cos + x sin)`. */
export function rope(
  { profile }: KernelContext,
  args: Arguments<"rope">,
): Dispatch[] {
  const { values, cosines, sines, heads, headDim, length, layout, inverse, positions } = args;
  const [angles, pairs] = cosines.shape as [number, number];
  const rows = values.size / (heads * headDim);
  // Four neighbouring pairs at a time where they lie in two vectors of four.
  const width = layout === "half" && pairs % 4 === 0 && headDim % 4 === 0 ? 4 : 1;
  const element = vectorType(width);
  const stride = headDim / width;
  const perHead = pairs / width;
  const lanes = profile.class === "software" ? Math.max(profile.subgroupSize, 8) : 64;
  const split = splitWork(profile, rows);
  const [first, second] = layout === "half"
    ? ["pair", `pair + ${perHead}u`]
    : ["2u * pair", "2u * pair + 1u"];
  const sign = inverse ? "-" : "";
  return [dispatchOf(profile, {
    label: "rope",
    storage: [
      { name: "values", tensor: values, access: "read_write", element },
      { name: "cosines", tensor: cosines, access: "read", element },
      { name: "sines", tensor: sines, access: "read", element },
      ...(positions
        ? [{ name: "positions", tensor: positions, access: "read", element: "u32" } as const]
        : []),
    ],
    uniforms: {
      rows: u32(rows),
      length: u32(length),
      last_angles: u32(angles - 1),
      per_group: u32(split.perGroup),
    },
    // The divisors are literals: a compiler turns them into multiplications.
    body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first_row = group.x * parameters.per_group;
  let end = min(first_row + parameters.per_group, parameters.rows);
  for (var row = first_row; row < end; row++) {
    let position = row % parameters.length${
      positions ? " + positions[row / parameters.length]" : ""
    };
    let angles = min(position, parameters.last_angles) * ${perHead}u;
    for (var item = lane; item < ${heads * perHead}u; item += ${lanes}u) {
      let head = item / ${perHead}u;
      let pair = item % ${perHead}u;
      let base = row * ${heads * stride}u + head * ${stride}u;
      let cosine = cosines[angles + pair];
      let sine = ${sign}sines[angles + pair];
      let x = values[base + ${first}];
      let y = values[base + ${second}];
      values[base + ${first}] = x * cosine - y * sine;
      values[base + ${second}] = y * cosine + x * sine;
    }
  }
}
`,
    workgroups: [split.groups, 1, 1],
  })];
}
