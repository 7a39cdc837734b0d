/**
 * Sums over the rows of a matrix in a fixed order: blocks of rows first, then the blocks.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import type { Arguments } from "../shapes.ts";
import type { Dispatch, KernelContext } from "./program.ts";
import { dispatchOf, type Storage, u32, vectorType, vectorWidth } from "./wgsl.ts";

/** Partial sums per column; enough to occupy a device when columns are few. */
const MOST_BLOCKS = 64;

/** Rows that one partial sum covers at least. */
const LEAST_ROWS = 32;

/** A sum over rows of `term`. */
export interface ColumnReduction {
  /** For timing tables and error messages. */
  readonly label: string;
  /** Rows to sum. */
  readonly rows: number;
  /** Sums. */
  readonly columns: number;
  /** Matrices `[rows, columns]`, readable in `term` as `name[index]`. */
  readonly matrices: Readonly<Record<string, Tensor>>;
  /** Vectors `[rows]`, readable in `term` as `name[row]`. */
  readonly rowVectors?: Readonly<Record<string, Tensor>>;
  /** WGSL expression of one term. */
  readonly term: string;
  /** `[columns]`; the sum is added to it. */
  readonly output: Tensor;
}

/** The dispatches of a sum over rows. */
export function columnReduction(context: KernelContext, reduction: ColumnReduction): Dispatch[] {
  const { rows, columns, output } = reduction;
  const blocks = Math.min(MOST_BLOCKS, Math.ceil(rows / LEAST_ROWS));
  if (blocks === 1) return [sumRows(context, reduction, output, 1, true)];
  const partial = context.scratch("f32", [blocks, columns]);
  return [
    sumRows(context, reduction, partial, blocks, false),
    sumRows(
      context,
      {
        label: `${reduction.label} blocks`,
        rows: blocks,
        columns,
        matrices: { partial },
        term: "partial[index]",
        output,
      },
      output,
      1,
      true,
    ),
  ];
}

/** One pass: `output[block] (+)= sum over the rows of the block`. */
function sumRows(
  { profile }: KernelContext,
  reduction: ColumnReduction,
  output: Tensor,
  blocks: number,
  accumulate: boolean,
): Dispatch {
  const { rows, columns, matrices, rowVectors = {}, term } = reduction;
  const width = vectorWidth(columns);
  const element = vectorType(width);
  const lanes = profile.class === "software" ? Math.max(profile.subgroupSize, 8) : 64;
  const storage: Storage[] = [
    ...Object.entries(matrices).map(([name, tensor]) =>
      ({ name, tensor, access: "read", element }) as const
    ),
    ...Object.entries(rowVectors).map(([name, tensor]) =>
      ({ name, tensor, access: "read", element: "f32" }) as const
    ),
    { name: "sums", tensor: output, access: "read_write", element },
  ];
  return dispatchOf(profile, {
    label: reduction.label,
    storage,
    uniforms: {
      rows: u32(rows),
      columns: u32(columns / width),
      block: u32(Math.ceil(rows / blocks)),
    },
    body: `
@compute @workgroup_size(${lanes})
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let column = id.x;
  if (column >= parameters.columns) {
    return;
  }
  let first = id.y * parameters.block;
  let end = min(first + parameters.block, parameters.rows);
  var sum = ${element}();
  for (var row = first; row < end; row++) {
    let index = row * parameters.columns + column;
    sum += ${term};
  }
  sums[id.y * parameters.columns + column] ${accumulate ? "+=" : "="} sum;
}
`,
    workgroups: [Math.ceil(columns / width / lanes), blocks, 1],
  });
}

/** `output [N] += sum over rows of input [M, N]`. */
export function columnSum(
  context: KernelContext,
  { input, output }: Arguments<"columnSum">,
): Dispatch[] {
  const [rows, columns] = input.shape as [number, number];
  return columnReduction(context, {
    label: "columnSum",
    rows,
    columns,
    matrices: { matrix: input },
    term: "matrix[index]",
    output,
  });
}
