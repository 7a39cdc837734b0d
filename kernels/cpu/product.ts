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
import type { Recorder, ValuesOf } from "./recording.ts";
import { type LeftLayout, PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS, TILES } from "./tile.ts";
import { type Expression, f32, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Columns of a block: a multiple of the 32 columns of a packed chunk and of a panel. */
const BLOCK_COLUMNS = 96;

/** Steps of k of a block; a block takes 384 KiB. */
const BLOCK_DEPTH = 1024;

/** Fewest rows of a task: packing a block costs about as much as multiplying 20 rows with it. */
const MIN_TASK_ROWS = 96;

/** Tasks that a product is divided into, if it is large enough: some per thread. */
const TASKS = 32;

/** Places in scratch memory, in bytes. */
const SCRATCH = {
  /** Bias of the columns of a block, zeros where there is none. */
  bias: 0,
  /** Zeros for the bias of later blocks of k. */
  zeros: 4 * BLOCK_COLUMNS,
  /** A tile that reaches beyond the output. */
  tile: 8 * BLOCK_COLUMNS,
  panels: 2048,
  /** The packed left factor, where it is transposed. */
  left: 2048 + BLOCK_COLUMNS / TILE_COLUMNS * BLOCK_DEPTH * PANEL_STRIDE,
} as const;

/** Rows of a transposed left factor that are packed at once; as large as the block of the right. */
const LEFT_ROWS = 96;

/** Bytes of one step of k in a packed tile of the left factor. */
const LEFT_STRIDE = 4 * TILE_ROWS;

/** Bytes from one packed tile of the left factor to the next; whole vectors are stored. */
const LEFT_TILE_BYTES = BLOCK_DEPTH * LEFT_STRIDE + 16;

/** Bytes from one panel of a block to the next. */
export const PANEL_BYTES = BLOCK_DEPTH * PANEL_STRIDE;

/** The block of the right factor to be packed. */
export interface Block {
  /** Where the first panel goes; panel `p` is {@linkcode PANEL_BYTES} `* p` further. */
  readonly panels: Expression<"i64">;
  /** First step of k, a multiple of 32. */
  readonly from: Expression<"i32">;
  /** Steps of k; a panel has room for this, rounded up to a multiple of 32. */
  readonly depth: Expression<"i32">;
  /** First column of the product, a multiple of 32. */
  readonly column: Expression<"i32">;
  /** Columns, at most 96; what lies in a panel beyond them is ignored. */
  readonly columns: Expression<"i32">;
}

/** What every product has; `depth` is the length of its sums. */
const COMMON = {
  left: "tensor",
  output: "tensor",
  bias: "tensor",
  rows: "i32",
  columns: "i32",
  depth: "i32",
  leftStride: "i32",
  taskRows: "i32",
  scale: "f32",
  keep: "i32",
  wide: "i32",
} as const;

/** Parameters of a product beside those of its right factor. */
export type Common = typeof COMMON;

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

interface TaskBlock extends Block {
  readonly panels: Local<"i64">;
  readonly from: Local<"i32">;
  readonly depth: Local<"i32">;
  readonly column: Local<"i32">;
  readonly columns: Local<"i32">;
  readonly row: Local<"i32">;
  readonly rowEnd: Local<"i32">;
  readonly bias: Local<"i64">;
  readonly keep: Local<"i32">;
}

/** Multiplies the rows of a task, as they lie in memory, with a packed block. */
function multiplyRows(f: KernelBuilder, p: LocalsOf<Common>, block: TaskBlock): void {
  const stride = f.let(i64.extendU(p.leftStride));
  multiply(f, p, block, {
    ...{ layout: "rows", stride },
    tile: (i) => i64.add(at(p.left, block.from), i64.mul(i64.extendU(i), stride)),
  });
}

/**
 * Multiplies columns of the left factor. Its rows may lie a power of two apart, which is one place in
 * the cache for all of them: a block is packed first, each tile of six columns in one piece.
 */
function multiplyTransposed(f: KernelBuilder, p: LocalsOf<Common>, block: TaskBlock): void {
  const { from, depth, row, rowEnd } = block;
  const packed = f.let(i64.add(f.scratch, SCRATCH.left));
  const sourceStride = f.let(i64.extendU(p.leftStride));
  const stride = f.let(i64.const(LEFT_STRIDE));
  f.for(row, rowEnd, LEFT_ROWS, (first) => {
    const end = f.let(i32.minU(i32.add(first, LEFT_ROWS), rowEnd));
    const source = f.let(i64.add(at(p.left, first), i64.mul(i64.extendU(from), sourceStride)));
    f.for(0, depth, 1, (step) => {
      const from = f.let<"i64">(source);
      const to = f.let(at(packed, step, LEFT_STRIDE));
      f.for(first, end, TILE_ROWS, () => {
        // The second store reaches into the next step, which is written later.
        f.do(v128.store(to, v128.load(from)), v128.store(to, v128.load(from, 16), 16));
        f.set(from, i64.add(from, LEFT_STRIDE));
        f.set(to, i64.add(to, LEFT_TILE_BYTES));
      });
      f.set(source, i64.add(source, sourceStride));
    });
    multiply(f, p, { ...block, row: first, rowEnd: end }, {
      ...{ layout: "columns", stride },
      tile: (i) => at(packed, i32.divU(i32.sub(i, first), TILE_ROWS), LEFT_TILE_BYTES),
    });
  });
}

/** Where the left factor lies. */
interface Left {
  readonly layout: LeftLayout;
  /** Bytes between rows, or between steps of k. */
  readonly stride: Local<"i64">;
  /** Address of the tile whose first row is `i`. */
  tile(i: Local<"i32">): Expression<"i64">;
}

/** Multiplies rows of the left factor with a packed block. */
function multiply(
  f: KernelBuilder,
  p: LocalsOf<Common>,
  block: TaskBlock,
  { layout, stride, tile }: Left,
): void {
  const { depth, column, columns, row, rowEnd, bias, keep } = block;
  const outputStride = f.let(i64.mul(i64.extendU(p.columns), 4));
  const call = (
    left: Expression<"i64">,
    panel: Expression<"i64">,
    output: Expression<"i64">,
    strideOfOutput: Expression<"i64">,
    rows: Expression<"i32">,
    biasOfPanel: Expression<"i64">,
  ) => {
    const operands = [left, stride, panel, output, strideOfOutput, depth, rows, p.scale, keep];
    f.if(
      p.wide,
      () => f.callShared(TILES[layout].wide, ...operands, biasOfPanel),
      () => f.callShared(TILES[layout].narrow, ...operands, biasOfPanel),
    );
  };
  f.for(row, rowEnd, TILE_ROWS, (i) => {
    const rows = f.let(i32.minU(i32.sub(rowEnd, i), TILE_ROWS));
    const left = f.let(tile(i));
    const outputRow = f.let(i64.add(at(p.output, column), i64.mul(i64.extendU(i), outputStride)));
    const panel = f.let<"i64">(block.panels);
    f.for(0, columns, TILE_COLUMNS, (j) => {
      const width = f.let(i32.minU(i32.sub(columns, j), TILE_COLUMNS));
      const output = f.let(at(outputRow, j));
      const biasOfPanel = f.let(at(bias, j));
      const isWhole = i32.and(i32.eq(rows, TILE_ROWS), i32.eq(width, TILE_COLUMNS));
      f.if(isWhole, () => call(left, panel, output, outputStride, rows, biasOfPanel), () => {
        const place = f.let(i64.add(f.scratch, SCRATCH.tile));
        copyTile(f, output, outputStride, place, i64.const(PANEL_STRIDE), rows, width);
        call(left, panel, place, i64.const(PANEL_STRIDE), rows, biasOfPanel);
        copyTile(f, place, i64.const(PANEL_STRIDE), output, outputStride, rows, width);
      });
      f.set(panel, i64.add(panel, PANEL_BYTES));
    });
  });
}

/** Copies the part of a tile that exists. */
function copyTile(
  f: KernelBuilder,
  source: Expression<"i64">,
  sourceStride: Expression<"i64">,
  target: Expression<"i64">,
  targetStride: Expression<"i64">,
  rows: Local<"i32">,
  columns: Local<"i32">,
): void {
  const from = f.let(source);
  const to = f.let(target);
  f.for(0, rows, 1, () => {
    f.for(0, columns, 1, (j) => f.do(f32.store(at(to, j), f32.load(at(from, j)))));
    f.set(from, i64.add(from, sourceStride));
    f.set(to, i64.add(to, targetStride));
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
