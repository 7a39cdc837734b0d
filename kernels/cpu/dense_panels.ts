/**
 * Packing a block of a dense right factor into panels.
 *
 * @module
 */

import { at, type KernelBuilder } from "./kernel.ts";
import { type Block, PANEL_BYTES } from "./product_block.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, f32, i32, i64, i8x16, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Steps of k that are transposed at once. */
const STEPS = 4;

/**
 * Packs a block of `[depth, columns]`, where `right` has `stride` elements a row: panels take 16
 * neighbouring elements of each row. Reads up to 15 elements beyond the block, never beyond the slack
 * of the memory.
 */
export function packRows(
  f: KernelBuilder,
  right: Local<"i64">,
  stride: Local<"i32">,
  block: Block,
): void {
  const rowBytes = f.let(i64.mul(i64.extendU(stride), 4));
  forEachPanel(f, block, (panel, column) => {
    const source = f.let(
      i64.add(at(right, column), i64.mul(i64.extendU(block.from), rowBytes)),
    );
    const target = f.let<"i64">(panel);
    f.for(0, block.depth, 1, () => {
      for (let offset = 0; offset < PANEL_STRIDE; offset += 16) {
        f.do(v128.store(target, v128.load(source, offset), offset));
      }
      f.set(source, i64.add(source, rowBytes));
      f.set(target, i64.add(target, PANEL_STRIDE));
    });
  });
}

/**
 * Packs a block of the transpose of `right`, `[columns, depth]` with `stride` elements a row: panels
 * take one element of each of 16 rows. `rows` is the number of rows of `right`.
 */
export function packColumns(
  f: KernelBuilder,
  right: Local<"i64">,
  stride: Local<"i32">,
  rows: Local<"i32">,
  block: Block,
): void {
  const rowBytes = f.let(i64.mul(i64.extendU(stride), 4));
  const lastRow = f.let(i32.sub(rows, 1));
  const whole = f.let(i32.and(block.depth, -STEPS));
  forEachPanel(f, block, (panel, column) => {
    f.for(0, TILE_COLUMNS, 4, (group) => {
      const pointers = [0, 1, 2, 3].map((lane) => {
        // Rows that do not exist repeat the last one; nobody looks at their columns.
        const row = f.let(i32.add(i32.add(column, group), lane));
        const existing = i64.extendU(i32.minU(row, lastRow));
        return f.let(i64.add(at(right, block.from), i64.mul(existing, rowBytes)));
      });
      const target = f.let(at(panel, group));
      f.for(0, whole, STEPS, () => {
        const loaded = pointers.map((pointer) => f.let(v128.load(pointer)));
        transpose(f, loaded).forEach((vector, step) => {
          f.do(v128.store(target, vector, step * PANEL_STRIDE));
        });
        for (const pointer of pointers) f.set(pointer, i64.add(pointer, 4 * STEPS));
        f.set(target, i64.add(target, STEPS * PANEL_STRIDE));
      });
      f.for(whole, block.depth, 1, () => {
        pointers.forEach((pointer, lane) => f.do(f32.store(target, f32.load(pointer), 4 * lane)));
        for (const pointer of pointers) f.set(pointer, i64.add(pointer, 4));
        f.set(target, i64.add(target, PANEL_STRIDE));
      });
    });
  });
}

/** Runs `body` for every panel of a block, with its address and its first column of the product. */
export function forEachPanel(
  f: FunctionBuilder,
  block: Block,
  body: (panel: Local<"i64">, column: Local<"i32">) => void,
): void {
  const panel = f.let(block.panels);
  f.for(0, f.let(block.columns), TILE_COLUMNS, (offset) => {
    const column = f.let(i32.add(block.column, offset));
    body(panel, column);
    f.set(panel, i64.add(panel, PANEL_BYTES));
  });
}

/** Four vectors of four 32-bit lanes, rows and columns exchanged. */
export function transpose(
  f: FunctionBuilder,
  rows: readonly Expression<"v128">[],
): readonly Expression<"v128">[] {
  const [a, b, c, d] = rows as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
  const lanes = (...words: number[]) =>
    words.flatMap((word) => [0, 1, 2, 3].map((byte) => 4 * word + byte));
  const low = [
    f.let(i8x16.shuffle(a, b, lanes(0, 4, 1, 5))),
    f.let(i8x16.shuffle(c, d, lanes(0, 4, 1, 5))),
  ];
  const high = [
    f.let(i8x16.shuffle(a, b, lanes(2, 6, 3, 7))),
    f.let(i8x16.shuffle(c, d, lanes(2, 6, 3, 7))),
  ];
  const pair = ([left, right]: Local<"v128">[], words: number[]) =>
    i8x16.shuffle(left as Local<"v128">, right as Local<"v128">, lanes(...words));
  return [
    pair(low, [0, 1, 4, 5]),
    pair(low, [2, 3, 6, 7]),
    pair(high, [0, 1, 4, 5]),
    pair(high, [2, 3, 6, 7]),
  ];
}
