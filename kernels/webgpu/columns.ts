/**
 * Columns of a matrix in another order; indices beyond the matrix are passed over.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import { perElement } from "./per_element.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { rowLayout, rowRanges, rowsOf } from "./shards.ts";
import { u32 } from "./wgsl.ts";

/** `output[m, c] = input[m, order[c]]`. */
export function gatherColumns(
  context: KernelContext,
  { input, order, output }: Arguments<"gatherColumns">,
): Dispatch[] {
  return forEachSelected(context, {
    label: "gatherColumns",
    whole: input,
    part: output,
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
  /** `[C]`. */
  readonly order: Tensor;
  /** What happens to `part[index]` and `whole[place]`. */
  readonly code: string;
}

function forEachSelected(
  { profile }: KernelContext,
  { label, whole, part, order, code }: Selection,
): Dispatch[] {
  const [rows, columns] = whole.shape as [number, number];
  const layouts = [rowLayout(whole, rows), rowLayout(part, rows)] as const;
  return rowRanges(profile, rows, layouts).map((range) =>
    perElement(profile, {
      label,
      size: range.count * order.size,
      storage: [
        {
          name: "whole",
          tensor: rowsOf(layouts[0], range),
          access: label === "scatterColumns" ? "read_write" : "read",
          element: "f32",
        },
        {
          name: "part",
          tensor: rowsOf(layouts[1], range),
          access: label === "gatherColumns" ? "read_write" : "read",
          element: "f32",
        },
        { name: "order", tensor: order, access: "read", element: "u32" },
      ],
      uniforms: { columns: u32(columns), selected: u32(order.size) },
      code: `  let column = order[index % parameters.selected];
  if (column < parameters.columns) {
    let place = index / parameters.selected * parameters.columns + column;
    ${code}
  }`,
    })
  );
}
