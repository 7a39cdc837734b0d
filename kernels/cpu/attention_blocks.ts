/**
 * What attention and its backward share: scores of a block of keys and a block of queries, as
 * products of tiles, and the packing of their factors.
 *
 * Scores are kept transposed, `[keys, queries]`: queries lie in the lanes of vectors, so that the
 * softmax over keys needs no sums across lanes; a row of keys is read where it is.
 *
 * @module
 */

import { at, type KernelBuilder, THREAD_SCRATCH_BYTES } from "./kernel.ts";
import { BLOCK, offsets, row, type Rows } from "./attention_panels.ts";
import { type LeftLayout, TILE_COLUMNS, TILE_ROWS, TILES } from "./tile.ts";
import {
  type Expression,
  f32,
  f32x4,
  i32,
  i32x4,
  i64,
  type Operand,
  select,
  v128,
} from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Bytes from one key to the next in a block of scores. */
export const SCORE_STRIDE = 4 * BLOCK;

/** The backward keeps six blocks of features and two of scores in a thread's scratch memory. */
export const MAX_HEAD_DIM =
  (THREAD_SCRATCH_BYTES - 4 * BLOCK * (2 * BLOCK + TILE_COLUMNS)) / (6 * 4 * BLOCK) & -TILE_COLUMNS;

/** Checks what the shape check of the contract leaves open. */
export function checkHeadDim(operation: string, headDim: number): void {
  if (headDim > MAX_HEAD_DIM) {
    throw new RangeError(
      `${operation}: headDim is ${headDim}, but the CPU device takes at most ${MAX_HEAD_DIM}; ` +
        `use more heads or another device`,
    );
  }
}

/** Hands out parts of the thread's scratch memory, counted in floats. */
export function scratchParts(
  f: KernelBuilder,
): (floats: Operand<"i32">) => Local<"i64"> {
  const next = f.let<"i64">(f.scratch);
  return (floats) => {
    const part = f.let<"i64">(next);
    f.set(next, at(next, floats));
    return part;
  };
}

/** What all products of a kernel have in common. */
export interface Products {
  /** Whether to use wide vectors. */
  readonly wide: Local<"i32">;
  /** Sixteen zeros. */
  readonly zeros: Local<"i64">;
}

/** One tile of a product, see `tile.ts`. */
export interface TileOperands {
  readonly left: Expression<"i64">;
  readonly leftStride: Expression<"i64">;
  readonly panel: Expression<"i64">;
  readonly output: Expression<"i64">;
  readonly outputStride: Expression<"i64">;
  readonly depth: Expression<"i32">;
  readonly rows?: Expression<"i32">;
  readonly scale?: Expression<"f32">;
  readonly keep: Expression<"i32">;
}

/** Computes one tile. */
export function multiplyTile(
  f: KernelBuilder,
  { wide, zeros }: Products,
  layout: LeftLayout,
  operands: TileOperands,
): void {
  const { left, leftStride, panel, output, outputStride, depth, keep } = operands;
  const { rows = i32.const(TILE_ROWS), scale = f32.const(1) } = operands;
  const values = [left, leftStride, panel, output, outputStride, depth, rows, scale, keep, zeros];
  f.if(
    wide,
    () => f.callShared(TILES[layout].wide, ...values),
    () => f.callShared(TILES[layout].narrow, ...values),
  );
}

/** Where the examples of packed sequences start. */
export interface Starts {
  /** `[T]` u32; 0 where sequences are not packed. */
  readonly tensor: Local<"i64">;
  /** Scratch memory: of each query of a block, relative to the position of the first. */
  readonly block: Local<"i64">;
}

/** Fills the scratch memory of `starts` for the queries from `token` on, at position `first`. */
export function loadStarts(
  f: KernelBuilder,
  { tensor, block }: Starts,
  token: Local<"i32">,
  first: Local<"i32">,
  queries: Local<"i32">,
): void {
  f.if(i64.ltU(i64.const(0), tensor), () => {
    const rows = f.let(at(tensor, token));
    const last = f.let(i32.sub(queries, 1));
    // Behind the last query of the block stands its own start again: panels are read whole.
    f.for(0, BLOCK, 1, (query) => {
      const start = i32.load(at(rows, i32.minU(query, last)));
      f.do(i32.store(at(block, query), i32.sub(start, first)));
    });
  });
}

/** A block of keys and a block of queries. */
export interface Pair {
  /** Queries, at most {@linkcode BLOCK}. */
  readonly queries: Local<"i32">;
  /** Keys, at most {@linkcode BLOCK}; on the diagonal as many as queries. */
  readonly keys: Local<"i32">;
  /** Position of the first query minus position of the first key, a multiple of {@linkcode BLOCK}. */
  readonly distance: Local<"i32">;
}

/**
 * `scores [keys, queries] = scale * rows [keys, headDim] panels [headDim, queries]`; on the diagonal
 * without most of the tiles whose keys come after all queries.
 */
export function scoreTiles(
  f: KernelBuilder,
  products: Products,
  { queries, keys, distance }: Pair,
  rows: Rows,
  panels: Local<"i64">,
  headDim: Local<"i32">,
  scale: Expression<"f32">,
  scores: Local<"i64">,
): void {
  f.for(0, keys, TILE_ROWS, (key) => {
    const left = f.let(row(rows, key));
    const count = f.let(i32.minU(f.let(i32.sub(keys, key)), TILE_ROWS));
    const from = f.let(select(i32.const(0), i32.and(key, -TILE_COLUMNS), distance));
    f.for(from, queries, TILE_COLUMNS, (query) => {
      multiplyTile(f, products, "rows", {
        left,
        leftStride: rows.stride,
        panel: at(panels, i32.mul(query, headDim)),
        output: at(at(scores, query), key, SCORE_STRIDE),
        outputStride: i64.const(SCORE_STRIDE),
        depth: headDim,
        rows: count,
        scale,
        keep: i32.const(0),
      });
    });
  });
}

/**
 * Runs `body` for every panel of 16 queries in a block of scores, with how many keys of the block
 * count for it: those that products with its tiles will read.
 */
export function overScorePanels(
  f: FunctionBuilder,
  { queries, keys, distance }: Pair,
  body: (query: Local<"i32">, keys: Local<"i32">) => void,
): void {
  f.for(0, queries, TILE_COLUMNS, (query) => {
    const last = i32.add(query, TILE_COLUMNS + TILE_ROWS - 1);
    const seen = f.let(i32.mul(i32.divU(last, TILE_ROWS), TILE_ROWS));
    const count = f.let(i32.minU(f.let(select(keys, seen, distance)), keys));
    body(query, count);
  });
}

/**
 * Sets scores of a panel to -Infinity where the key comes after the query, before its window or before
 * its example.
 */
export function maskScores(
  f: FunctionBuilder,
  { distance }: Pair,
  scores: Local<"i64">,
  query: Local<"i32">,
  keys: Local<"i32">,
  window: Local<"i32">,
  starts: Starts,
): void {
  const panel = f.let(at(scores, query));
  const position = f.let(i32.add(distance, query));
  /** Hides keys `from` to `to` from the queries for which `hidden` is true. */
  const hide = (
    from: Expression<"i32">,
    to: Expression<"i32">,
    hidden: (
      key: Expression<"v128">,
      position: Expression<"v128">,
      offset: number,
    ) => Expression<"v128">,
  ) => {
    const end = f.let(to);
    f.for(f.let(from), end, 1, (key) => {
      const address = f.let(at(panel, key, SCORE_STRIDE));
      for (const [i, offset] of offsets().entries()) {
        const lane = i32x4.add(
          i32x4.splat(position),
          v128.constWords([4 * i, 4 * i + 1, 4 * i + 2, 4 * i + 3]),
        );
        const mask = hidden(i32x4.splat(key), lane, offset);
        const score = v128.load(address, offset);
        f.do(v128.store(address, v128.bitselect(f32x4.splat(-Infinity), score, mask), offset));
      }
    });
  };
  hide(i32.add(position, 1), keys, (key, lane) => i32x4.ltS(lane, key));
  // The last query of the panel sees keys from this one on.
  const first = f.let(i32.sub(i32.add(position, TILE_COLUMNS), window));
  f.if(i32.gtS(first, 0), () => {
    const before = i32x4.splat(i32.sub(window, 1));
    hide(i32.const(0), i32.minU(first, keys), (key, lane) => {
      return i32x4.ltS(key, i32x4.sub(lane, before));
    });
  });
  f.if(i64.ltU(i64.const(0), starts.tensor), () => {
    const rows = f.let(at(starts.block, query));
    // Starts do not fall: that of the last query of the panel is the largest.
    const largest = f.let(
      i32.add(i32.load(rows, 4 * (TILE_COLUMNS - 1)), distance),
    );
    f.if(i32.gtS(largest, 0), () => {
      hide(i32.const(0), i32.minU(largest, keys), (key, _, offset) => {
        return i32x4.ltS(key, i32x4.add(v128.load(rows, offset), i32x4.splat(distance)));
      });
    });
  });
}

/** The block of the first key that the query at `first`, the first of its block, sees. */
export function firstBlock(
  f: KernelBuilder,
  first: Local<"i32">,
  window: Local<"i32">,
  starts: Starts,
): Local<"i32"> {
  const before = f.let(i32.sub(window, 1));
  const key = f.let(select(i32.sub(first, before), i32.const(0), i32.gtU(first, before)));
  f.if(i64.ltU(i64.const(0), starts.tensor), () => {
    const start = f.let(i32.add(first, i32.load(starts.block)));
    f.set(key, select(start, key, i32.gtU(start, key)));
  });
  return f.let(i32.sub(key, i32.remU(key, BLOCK)));
}
