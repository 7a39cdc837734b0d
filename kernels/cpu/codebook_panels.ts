/**
 * Packing a block of a codebook weight into panels, decoded: `w = levels[row, block][code]`.
 *
 * The eight levels of a block are looked up as bytes, as those of NF4 are, but from tables that are
 * made of memory: table `plane` holds byte `plane` of every level.
 *
 * @module
 */

import { CODEBOOK_LEVELS } from "../device.ts";
import { CHUNK } from "../packing.ts";
import { bytesOfChunk, floatsOfPlanes } from "./decode.ts";
import { packDecodedRows } from "./decoded_panels.ts";
import { forEachPanel, transpose } from "./dense_panels.ts";
import { at, type KernelBuilder, type LocalsOf } from "./kernel.ts";
import type { Block } from "./product_block.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, i32, i64, i8x16, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Parameters of a codebook weight. */
export const CODEBOOK = {
  codes: "tensor",
  levels: "tensor",
  weightRows: "i32",
  rowWords: "i32",
  blockColumns: "i32",
  /** Blocks along one row. */
  rowBlocks: "i32",
} as const;

/** Parameters of a codebook weight as a kernel sees them. */
export type CodebookLocals = LocalsOf<typeof CODEBOOK>;

/** Packs for `linear`: columns of the product are rows of the weight, k runs along them. */
export function packCodebookColumns(f: KernelBuilder, p: CodebookLocals, block: Block): void {
  const lastRow = f.let(i32.sub(p.weightRows, 1));
  forEachPanel(f, block, (panel, column) => {
    f.for(0, TILE_COLUMNS, 4, (group) => {
      const target = f.let(at(panel, group));
      f.for(0, block.depth, CHUNK, (step) => {
        const k = f.let(i32.add(block.from, step));
        const chunks = [0, 1, 2, 3].map((lane) => {
          // Rows that do not exist repeat the last one; nobody looks at their columns.
          const row = f.let(i32.add(i32.add(column, group), lane));
          f.set(row, i32.minU(row, lastRow));
          const weights: Local<"v128">[] = [];
          decodeCodebookChunk(f, p, row, k, (vector) => weights.push(f.let(vector)));
          return weights;
        });
        for (let quarter = 0; quarter < CHUNK / 4; quarter++) {
          const rows = chunks.map((weights) => weights[quarter] as Local<"v128">);
          transpose(f, rows).forEach((vector, lane) => {
            f.do(v128.store(target, vector, (4 * quarter + lane) * PANEL_STRIDE));
          });
        }
        f.set(target, i64.add(target, CHUNK * PANEL_STRIDE));
      });
    });
  });
}

/** Packs for `linearTransposed`: k runs over rows of the weight, columns along them. */
export function packCodebookRows(f: KernelBuilder, p: CodebookLocals, block: Block): void {
  packDecodedRows(f, block, (row, column, store) => decodeCodebookChunk(f, p, row, column, store));
}

/** The weights of a chunk of one row: eight vectors, each with the first of its lanes. */
export function decodeCodebookChunk(
  f: FunctionBuilder,
  p: CodebookLocals,
  row: Local<"i32">,
  column: Local<"i32">,
  store: (weights: Expression<"v128">, lane: number) => void,
): void {
  const word = i64.add(
    i64.mul(i64.extendU(row), i64.extendU(p.rowWords)),
    i64.extendU(i32.mul(i32.shrU(column, 5), 3)),
  );
  const words = f.let(i64.add(p.codes, i64.mul(word, 4)));
  const block = i32.add(i32.mul(row, p.rowBlocks), i32.divU(column, p.blockColumns));
  const planes = planesOf(f, f.let(at(p.levels, block, 4 * CODEBOOK_LEVELS)));
  bytesOfChunk(f, 3, words).flatMap((codes) => floatsOfPlanes(f, planes, codes))
    .forEach((vector, index) => store(vector, 4 * index));
}

/** Byte `plane` of the eight floats at an address, for all four planes. */
function planesOf(f: FunctionBuilder, address: Local<"i64">): Local<"v128">[] {
  const low = f.let(v128.load(address));
  const high = f.let(v128.load(address, 16));
  return [0, 1, 2, 3].map((plane) => {
    const bytes = Array.from({ length: 16 }, (_, i) => 4 * (i % CODEBOOK_LEVELS) + plane);
    return f.let(i8x16.shuffle(low, high, bytes));
  });
}
