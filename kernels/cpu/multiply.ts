/**
 * Multiplying rows of the left factor with a packed block of the right one, tile by tile.
 *
 * @module
 */

import { at, type KernelBuilder, type LocalsOf } from "./kernel.ts";
import {
  LEFT_ROWS,
  LEFT_STRIDE,
  LEFT_TILE_BYTES,
  PANEL_BYTES,
  SCRATCH,
  type TaskBlock,
} from "./product_block.ts";
import { type LeftLayout, PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS, TILES } from "./tile.ts";
import { type Expression, f32, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** What every product has; `depth` is the length of its sums. */
export const COMMON = {
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

/** Multiplies the rows of a task, as they lie in memory, with a packed block. */
export function multiplyRows(f: KernelBuilder, p: LocalsOf<Common>, block: TaskBlock): void {
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
export function multiplyTransposed(f: KernelBuilder, p: LocalsOf<Common>, block: TaskBlock): void {
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
export function copyTile(
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
