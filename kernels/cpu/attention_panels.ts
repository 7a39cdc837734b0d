/**
 * Packing for attention: rows of one head into panels, as they are or transposed.
 *
 * @module
 */

import { at } from "./kernel.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, i32, i64, i8x16, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Queries of a block, and keys: whole tiles either way they are read, whole panels. */
export const BLOCK = 96;

/** Vectors of a panel's row. */
const VECTORS = TILE_COLUMNS / 4;

/** The rows of one head, from some token on, in a tensor `[tokens, heads * headDim]`. */
export interface Rows {
  /** The first feature of the first row. */
  readonly first: Local<"i64">;
  /** Bytes between rows. */
  readonly stride: Local<"i64">;
}

/** The rows of `head` in a tensor, from `token` on. */
export function rowsOf(
  f: FunctionBuilder,
  tensor: Expression<"i64">,
  token: Expression<"i32">,
  heads: Local<"i32">,
  head: Expression<"i32">,
  headDim: Local<"i32">,
): Rows {
  const stride = f.let(i64.mul(i64.extendU(i32.mul(heads, headDim)), 4));
  const first = i64.add(
    at(tensor, i32.mul(head, headDim)),
    i64.mul(i64.extendU(token), stride),
  );
  return { first: f.let(first), stride };
}

/** Row `index` of rows. */
export function row({ first, stride }: Rows, index: Expression<"i32">): Expression<"i64"> {
  return i64.add(first, i64.mul(i64.extendU(index), stride));
}

/** Features of a head rounded up to whole panels. */
export function paddedDim(headDim: Expression<"i32">): Expression<"i32"> {
  return i32.and(i32.add(headDim, TILE_COLUMNS - 1), -TILE_COLUMNS);
}

/** Copies up to a block of rows into panels of 16 features, `[headDim / 16, BLOCK, 16]`. */
export function packPanels(
  f: FunctionBuilder,
  rows: Rows,
  count: Local<"i32">,
  headDim: Local<"i32">,
  panels: Local<"i64">,
): void {
  const column = f.let<"i64">(rows.first);
  const panel = f.let<"i64">(panels);
  f.for(0, headDim, TILE_COLUMNS, () => {
    const from = f.let<"i64">(column);
    const to = f.let<"i64">(panel);
    f.for(0, count, 1, () => {
      const vectors = offsets().map((offset) => f.let(v128.load(from, offset)));
      vectors.forEach((vector, i) => f.do(v128.store(to, vector, 16 * i)));
      f.set(from, i64.add(from, rows.stride));
      f.set(to, i64.add(to, PANEL_STRIDE));
    });
    f.set(column, i64.add(column, PANEL_STRIDE));
    f.set(panel, i64.add(panel, BLOCK * PANEL_STRIDE));
  });
}

/**
 * Transposes up to a block of rows into panels of 16 rows, `[BLOCK / 16, headDim, 16]`. Where a
 * panel has no more rows, the last one is repeated: nobody looks at what comes of it.
 */
export function packTransposed(
  f: FunctionBuilder,
  rows: Rows,
  count: Local<"i32">,
  headDim: Local<"i32">,
  panels: Local<"i64">,
): void {
  const last = f.let(i32.sub(count, 1));
  const end = f.let(paddedDim(count));
  f.for(0, end, 4, (index) => {
    const pointers = lanes().map((i) =>
      f.let(row(rows, f.let(i32.minU(f.let(i32.add(index, i)), last))))
    );
    const panel = i32.mul(i32.shrU(index, Math.log2(TILE_COLUMNS)), headDim);
    const to = f.let(
      at(at(panels, panel, PANEL_STRIDE), i32.and(index, TILE_COLUMNS - 1)),
    );
    f.for(0, headDim, 4, () => {
      const columns = transpose(f, pointers.map((pointer) => f.let(v128.load(pointer))));
      columns.forEach((column, i) => f.do(v128.store(to, column, i * PANEL_STRIDE)));
      for (const pointer of pointers) f.set(pointer, i64.add(pointer, 16));
      f.set(to, i64.add(to, 4 * PANEL_STRIDE));
    });
  });
}

/** Four vectors of four lanes, transposed. */
function transpose(f: FunctionBuilder, rows: readonly Local<"v128">[]): Expression<"v128">[] {
  const [a, b, c, d] = rows as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
  const low = [0, 4, 1, 5];
  const high = [2, 6, 3, 7];
  const [ab01, cd01, ab23, cd23] = [
    f.let(shuffle(a, b, low)),
    f.let(shuffle(c, d, low)),
    f.let(shuffle(a, b, high)),
    f.let(shuffle(c, d, high)),
  ] as const;
  return [
    shuffle(ab01, cd01, [0, 1, 4, 5]),
    shuffle(ab01, cd01, [2, 3, 6, 7]),
    shuffle(ab23, cd23, [0, 1, 4, 5]),
    shuffle(ab23, cd23, [2, 3, 6, 7]),
  ];
}

function shuffle(
  first: Expression<"v128">,
  second: Expression<"v128">,
  words: readonly number[],
): Expression<"v128"> {
  const bytes = words.flatMap((word) => [4 * word, 4 * word + 1, 4 * word + 2, 4 * word + 3]);
  return i8x16.shuffle(first, second, bytes);
}

/** Byte offsets of the vectors of a panel's row. */
export function offsets(): number[] {
  return lanes().map((i) => 16 * i);
}

function lanes(): number[] {
  return Array.from({ length: VECTORS }, (_, i) => i);
}
