/**
 * The blocks that a product is computed in, and where they lie in a thread's scratch memory.
 *
 * @module
 */

import { PANEL_STRIDE, TILE_COLUMNS, TILE_ROWS } from "./tile.ts";
import type { Expression } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Columns of a block: a multiple of the 32 columns of a packed chunk and of a panel. */
export const BLOCK_COLUMNS = 96;

/** Steps of k of a block; a block takes 384 KiB. */
export const BLOCK_DEPTH = 1024;

/** Places in scratch memory, in bytes. */
export const SCRATCH = {
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
export const LEFT_ROWS = 96;

/** Bytes of one step of k in a packed tile of the left factor. */
export const LEFT_STRIDE = 4 * TILE_ROWS;

/** Bytes from one packed tile of the left factor to the next; whole vectors are stored. */
export const LEFT_TILE_BYTES = BLOCK_DEPTH * LEFT_STRIDE + 16;

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

/** A packed block with the rows of the left factor that one task multiplies with it. */
export interface TaskBlock extends Block {
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
