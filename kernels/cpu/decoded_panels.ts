/**
 * Packing a block of a quantized right factor for `linearTransposed`.
 *
 * @module
 */

import { CHUNK } from "../packing.ts";
import { at, type KernelBuilder } from "./kernel.ts";
import { type Block, PANEL_BYTES } from "./product_block.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Decodes the chunk of a row that begins at `column`: eight vectors, each with its first lane. */
export type DecodeChunk = (
  row: Local<"i32">,
  column: Local<"i32">,
  store: (weights: Expression<"v128">, lane: number) => void,
) => void;

/** Packs rows as they are stored: k runs over rows of the weight, columns along them. */
export function packDecodedRows(f: KernelBuilder, block: Block, decode: DecodeChunk): void {
  f.for(0, block.depth, 1, (step) => {
    const row = f.let(i32.add(block.from, step));
    f.for(0, block.columns, CHUNK, (offset) => {
      const panel = i64.mul(i64.extendU(i32.shrU(offset, 4)), PANEL_BYTES);
      const target = f.let(i64.add(at(block.panels, step, PANEL_STRIDE), panel));
      const column = f.let(i32.add(block.column, offset));
      decode(row, column, (vector, lane) => {
        // A chunk is two panels wide.
        const panelOfLane = lane < TILE_COLUMNS ? 0 : PANEL_BYTES;
        f.do(v128.store(target, vector, panelOfLane + 4 * (lane % TILE_COLUMNS)));
      });
    });
  });
}
