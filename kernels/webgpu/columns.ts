/**
 * Columns of a matrix in another order; indices beyond the matrix are passed over.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import { dispatchOf, rowLanes, splitWork, type Storage, u32 } from "./wgsl.ts";

/** `output[m, c] = input[m, order[c]]`. */
export function gatherColumns(
  context: KernelContext,
  { input, order, output }: Arguments<"gatherColumns">,
): Dispatch[] {
  return forEachSelected(context, {
    label: "gatherColumns",
    whole: input,
    part: output,
    written: "part",
    order,
    code: "part[index] = whole[place];",
  });
}

/** `output[m, order[c]] += input[m, c]`. */
export function scatterColumns(
  context: KernelContext,
  { input, order, output }: Arguments<"scatterColumns">,
): Dispatch[] {
  return forEachSelected(context, {
    label: "scatterColumns",
    whole: output,
    part: input,
    written: "whole",
    order,
    code: "whole[place] += part[index];",
  });
}

interface Selection {
  readonly label: string;
  /** `[M, K]`. */
  readonly whole: Tensor;
  /** `[M, C]`. */
  readonly part: Tensor;
  /** Which of both is written. */
  readonly written: "whole" | "part";
  /** `[C]`. */
  readonly order: Tensor;
  /** What happens to `part[index]` and `whole[place]`. */
  readonly code: string;
}

function forEachSelected(
  { profile }: KernelContext,
  { label, whole, part, written, order, code }: Selection,
): Dispatch[] {
  const [rows, columns] = whole.shape as [number, number];
  const matrices = { whole: rowLayout(whole, rows), part: rowLayout(part, rows) };
  const lanes = rowLanes(profile, 4 * order.size);
  return rowRanges(profile, rows, Object.values(matrices)).map((range) => {
    const split = splitWork(profile, range.count);
    const matrix = (name: "whole" | "part"): Storage => ({
      name,
      tensor: rowsOf(matrices[name], range),
      access: name === written ? "read_write" : "read",
      element: "f32",
    });
    return dispatchOf(profile, {
      label,
      storage: [
        matrix("whole"),
        matrix("part"),
        { name: "order", tensor: order, access: "read", element: "u32" },
      ],
      uniforms: {
        rows: u32(range.count),
        per_group: u32(split.perGroup),
        columns: u32(columns),
        selected: u32(order.size),
      },
      body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * parameters.per_group;
  let end = min(first + parameters.per_group, parameters.rows);
  for (var row = first; row < end; row++) {
    for (var c = lane; c < parameters.selected; c += ${lanes}u) {
      let column = order[c];
      if (column < parameters.columns) {
        let index = row * parameters.selected + c;
        let place = row * parameters.columns + column;
        ${code}
      }
    }
  }
}
`,
      workgroups: [split.groups, 1, 1],
    });
  });
}
