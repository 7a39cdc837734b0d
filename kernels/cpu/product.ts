/**
 * Products of matrices in blocks: each task packs a block of the right factor, decoding it if it is
 * quantized, into panels of 16 columns in its thread's scratch memory (the second-level cache), and
 * multiplies a range of rows of the left factor with it.
 *
 * The order in which products are added follows from the shapes alone, so that neither the number of
 * threads nor the division into tasks changes a bit.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import {
  at,
  type Kernel,
  kernel,
  type KernelBuilder,
  type LocalsOf,
  type Parameters,
} from "./kernel.ts";
import type { Recorder, ValuesOf } from "./recorder.ts";
import { COMMON, type Common, multiplyRows, multiplyTransposed } from "./multiply.ts";
import { type Block, BLOCK_COLUMNS, BLOCK_DEPTH, SCRATCH } from "./product_block.ts";
import { type LeftLayout, TILE_ROWS } from "./tile.ts";
import { type Expression, f32, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Fewest rows of a task: packing a block costs about as much as multiplying 20 rows with it. */
const MIN_TASK_ROWS = 96;

/** Tasks that a product is divided into, if it is large enough: some per thread. */
const TASKS = 32;

/** Defines a product by the parameters of its right factor and the code that packs a block of it. */
export function product<const P extends Parameters>(
  name: string,
  layout: LeftLayout,
  right: P,
  pack: (f: KernelBuilder, p: LocalsOf<Common & P>, block: Block) => void,
): Kernel<Common & P> {
  const parameters = { ...COMMON, ...right };
  return kernel(name, parameters, (f, all) => {
    const p = all as unknown as LocalsOf<Common & P>;
    const common = all as unknown as LocalsOf<Common>;
    const columnBlocks = f.let(ceilDivide(common.columns, BLOCK_COLUMNS));
    const rowBlocks = ceilDivide(common.rows, common.taskRows);
    f.tasks(i32.mul(columnBlocks, rowBlocks), (task) => {
      const column = f.let(i32.mul(i32.remU(task, columnBlocks), BLOCK_COLUMNS));
      const columns = f.let(i32.minU(i32.sub(common.columns, column), BLOCK_COLUMNS));
      const row = f.let(i32.mul(i32.divU(task, columnBlocks), common.taskRows));
      const rowEnd = f.let(i32.minU(i32.add(row, common.taskRows), common.rows));
      packBias(f, common.bias, column, columns);
      const bias = f.let(i64.add(f.scratch, SCRATCH.bias));
      const keep = f.let<"i32">(common.keep);
      f.for(0, common.depth, BLOCK_DEPTH, (from) => {
        const depth = f.let(i32.minU(i32.sub(common.depth, from), BLOCK_DEPTH));
        const panels = f.let(i64.add(f.scratch, SCRATCH.panels));
        pack(f, p, { panels, from, depth, column, columns });
        const taskBlock = { panels, from, depth, column, columns, row, rowEnd, bias, keep };
        if (layout === "rows") multiplyRows(f, common, taskBlock);
        else multiplyTransposed(f, common, taskBlock);
        // Later blocks of k add to what the first has left.
        f.set(keep, -1);
        f.set(bias, i64.add(f.scratch, SCRATCH.zeros));
      });
    });
  });
}

/** Copies the bias of a block's columns to scratch memory, with zeros behind it. */
function packBias(
  f: KernelBuilder,
  bias: Local<"i64">,
  column: Local<"i32">,
  columns: Local<"i32">,
): void {
  const zero = v128.constWords([0, 0, 0, 0]);
  for (let offset = 0; offset < SCRATCH.tile; offset += 16) {
    f.do(v128.store(f.scratch, zero, SCRATCH.bias + offset));
  }
  f.if(i64.ltU(i64.const(0), bias), () => {
    f.for(0, columns, 1, (j) => {
      f.do(f32.store(at(f.scratch, j), f32.load(at(bias, i32.add(column, j))), SCRATCH.bias));
    });
  });
}

function ceilDivide(value: Expression<"i32">, divisor: number | Local<"i32">): Expression<"i32"> {
  const less = typeof divisor === "number" ? divisor - 1 : i32.sub(divisor, 1);
  return i32.divU(i32.add(value, less), divisor);
}

/** The sizes and the epilogue of one product. */
export interface ProductArguments {
  readonly left: Tensor;
  readonly output: Tensor;
  readonly bias?: Tensor | undefined;
  readonly rows: number;
  readonly columns: number;
  readonly depth: number;
  /** Elements between rows of `left` (or between steps of k, where it is transposed). */
  readonly leftStride: number;
  readonly scale?: number | undefined;
  readonly accumulate?: boolean | undefined;
}

/** Values of the common parameters of a product. */
export function commonValues(recorder: Recorder, args: ProductArguments): ValuesOf<Common> {
  const { left, output, bias = null, rows, columns, depth, leftStride } = args;
  const rowBlocks = Math.ceil(TASKS / Math.ceil(columns / BLOCK_COLUMNS));
  const share = Math.ceil(rows / rowBlocks / TILE_ROWS) * TILE_ROWS;
  return {
    left,
    output,
    bias,
    rows,
    columns,
    depth,
    leftStride: 4 * leftStride,
    taskRows: Math.max(MIN_TASK_ROWS, share),
    scale: args.scale ?? 1,
    keep: args.accumulate ? 0xffffffff : 0,
    wide: recorder.wide ? 1 : 0,
  };
}
