/**
 * The inner loop of every product: a tile of 6 x 16 results in registers.
 *
 * x86 has 16 vector registers. Twelve accumulators, two vectors of the right factor and one broadcast
 * of the left factor fit; one accumulator more spills and halves the speed. With vectors of 128 bits
 * that is 6 x 8, run twice over a panel of 16 columns; where V8 packs two neighbouring vectors into
 * one of 256 bits it is 6 x 16. Both add the products of one result in the same order, k upward, so
 * that both give the same bits.
 *
 * @module
 */

import type { SharedFunction } from "./kernel.ts";
import { type Expression, f32x4, i32, i32x4, i64, select, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Rows of a tile. */
export const TILE_ROWS = 6;

/** Columns of a tile, and of a panel of the packed right factor. */
export const TILE_COLUMNS = 16;

/** Bytes from one row of a panel to the next. */
export const PANEL_STRIDE = 4 * TILE_COLUMNS;

/** How the left factor lies in memory: one row after another, or transposed. */
export type LeftLayout = "rows" | "columns";

/** Steps of k per turn of the loop. */
const UNROLL = 2;

/**
 * `tile(left, leftStride, panel, output, outputStride, depth, rows, scale, keep, bias)`:
 * `output = scale * left panel + (output AND keep) + bias`.
 *
 * - `left` i64, `leftStride` i64: first element, and bytes between rows (layout `rows`: results `i`)
 *   or between columns (layout `columns`: steps of k).
 * - `panel` i64: `[depth, 16]`.
 * - `output` i64, `outputStride` i64: 6 x 16 results, all of them written.
 * - `depth` i32: steps of k. `rows` i32: rows of `left` that may be read, 1 to 6 (layout `rows`).
 * - `scale` f32. `keep` i32: all ones to add to what is there, 0 to overwrite. `bias` i64: `[16]`.
 */
function tile(layout: LeftLayout, vectors: 2 | 4): SharedFunction {
  return {
    parameters: ["i64", "i64", "i64", "i64", "i64", "i32", "i32", "f32", "i32", "i64"],
    build(f) {
      for (let first = 0; first < TILE_COLUMNS / 4; first += vectors) {
        columnsOfTile(f, layout, first, vectors);
      }
    },
  };
}

/** Computes columns `4 * first` to `4 * (first + vectors)` of a tile. */
function columnsOfTile(
  f: FunctionBuilder,
  layout: LeftLayout,
  first: number,
  vectors: number,
): void {
  const leftStride = f.parameter(1, "i64");
  const depth = f.parameter(5, "i32");
  const left = leftPointers(f, layout, f.parameter(0, "i64"), leftStride, f.parameter(6, "i32"));
  const panel = f.let<"i64">(f.parameter(2, "i64"));
  const sums = Array.from(
    { length: TILE_ROWS },
    () => Array.from({ length: vectors }, () => f.let(v128.constWords([0, 0, 0, 0]))),
  );
  const right = Array.from({ length: vectors }, () => f.local("v128"));
  const broadcast = f.local("v128");

  function step(turn: number): void {
    right.forEach((vector, j) => {
      f.set(vector, v128.load(panel, turn * PANEL_STRIDE + 16 * (first + j)));
    });
    sums.forEach((row, i) => {
      f.set(broadcast, left.load(turn, i));
      row.forEach((sum, j) => {
        f.set(sum, f32x4.relaxedMadd(broadcast, right[j] as Local<"v128">, sum));
      });
    });
    left.afterStep();
  }
  const whole = f.let(i32.and(depth, -UNROLL));
  f.for(0, whole, UNROLL, () => {
    for (let turn = 0; turn < UNROLL; turn++) step(turn);
    left.advance(UNROLL);
    f.set(panel, i64.add(panel, UNROLL * PANEL_STRIDE));
  });
  f.for(whole, depth, 1, () => {
    step(0);
    left.advance(1);
    f.set(panel, i64.add(panel, PANEL_STRIDE));
  });
  store(f, sums, first);
}

interface LeftPointers {
  /** Element of row `i` for step `turn` of the unrolled loop, in all lanes. */
  load(turn: number, i: number): Expression<"v128">;
  /** After every step. */
  afterStep(): void;
  /** After `steps` steps. */
  advance(steps: number): void;
}

function leftPointers(
  f: FunctionBuilder,
  layout: LeftLayout,
  left: Expression<"i64">,
  stride: Expression<"i64">,
  rows: Expression<"i32">,
): LeftPointers {
  if (layout === "columns") {
    const pointer = f.let(left);
    return {
      load: (_turn, i) => v128.load32Splat(pointer, 4 * i),
      afterStep: () => f.set(pointer, i64.add(pointer, stride)),
      advance: () => {},
    };
  }
  const pointers = [f.let(left)];
  for (let i = 1; i < TILE_ROWS; i++) {
    const previous = pointers[i - 1] as Local<"i64">;
    // Rows that do not exist repeat the last one; nobody looks at their results.
    pointers.push(f.let(select(i64.add(previous, stride), previous, i32.gtU(rows, i))));
  }
  return {
    load: (turn, i) => v128.load32Splat(pointers[i] as Local<"i64">, 4 * turn),
    afterStep: () => {},
    advance: (steps) => {
      for (const pointer of pointers) f.set(pointer, i64.add(pointer, 4 * steps));
    },
  };
}

function store(f: FunctionBuilder, sums: readonly Local<"v128">[][], first: number): void {
  const scale = f.let(f32x4.splat(f.parameter(7, "f32")));
  const keep = f.let(i32x4.splat(f.parameter(8, "i32")));
  const bias = f.parameter(9, "i64");
  const output = f.let<"i64">(f.parameter(3, "i64"));
  for (const row of sums) {
    const results = row.map((sum, j) => {
      const offset = 16 * (first + j);
      const kept = v128.and(v128.load(output, offset), keep);
      return f.let(f32x4.relaxedMadd(sum, scale, f32x4.add(kept, v128.load(bias, offset))));
    });
    // The stores stand together, so that V8 finds the pairs that it can pack.
    results.forEach((result, j) => f.do(v128.store(output, result, 16 * (first + j))));
    f.set(output, i64.add(output, f.parameter(4, "i64")));
  }
}

/** Tiles by layout of the left factor, for narrow and wide vectors. */
export const TILES: Readonly<
  Record<LeftLayout, { readonly narrow: SharedFunction; readonly wide: SharedFunction }>
> = {
  rows: { narrow: tile("rows", 2), wide: tile("rows", 4) },
  columns: { narrow: tile("columns", 2), wide: tile("columns", 4) },
};
