/**
 * Packing a block of an NF4 weight into panels, decoded: `w = NF4[code] * absmax(block of 64)`.
 *
 * The 16 levels are looked up as bytes (see `decode.ts`).
 *
 * @module
 */

import { NF4_BLOCK } from "../device.ts";
import { NF4_LEVELS } from "../nf4.ts";
import { CHUNK } from "../packing.ts";
import { bytesOfChunk, floatsOfPlanes } from "./decode.ts";
import { packDecodedRows } from "./decoded_panels.ts";
import { forEachPanel } from "./dense_panels.ts";
import { gather } from "./integer_panels.ts";
import { at, type KernelBuilder, type LocalsOf } from "./kernel.ts";
import type { Block } from "./product_block.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, f32x4, i16x8, i32, i64, i8x16, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Parameters of an NF4 weight whose absmax is plain. */
export const NF4 = {
  codes: "tensor",
  absmax: "tensor",
  weightRows: "i32",
  rowWords: "i32",
} as const;

/** Parameters of an NF4 weight as a kernel sees them. */
export type Nf4Locals = LocalsOf<typeof NF4>;

/** Words of one chunk of 4-bit codes. */
const CHUNK_WORDS = 4;

/** Byte `plane` of every level. */
const PLANES: readonly (readonly number[])[] = [0, 1, 2, 3].map((plane) =>
  NF4_LEVELS.map((level) => new Uint8Array(Float32Array.of(level).buffer)[plane] ?? 0)
);

/** The levels of sixteen codes in order: four vectors. */
function levels(f: FunctionBuilder, codes: Local<"v128">): Expression<"v128">[] {
  return floatsOfPlanes(f, PLANES.map((plane) => v128.constBytes(plane)), codes);
}

/** Packs for `linear`: columns of the product are rows of the weight, k runs along them. */
export function packNf4Columns(f: KernelBuilder, p: Nf4Locals, block: Block): void {
  const lastRow = f.let(i32.sub(p.weightRows, 1));
  const blocksPerRow = f.let(i32.shrU(p.rowWords, Math.log2(NF4_BLOCK / 8)));
  forEachPanel(f, block, (panel, column) => {
    f.for(0, TILE_COLUMNS, 4, (group) => {
      const rows = [0, 1, 2, 3].map((lane) => {
        const row = f.let(i32.add(i32.add(column, group), lane));
        return f.let(i32.minU(row, lastRow));
      });
      const words = rows.map((row) => {
        const start = i32.mul(i32.shrU(block.from, 5), CHUNK_WORDS);
        return f.let(at(rowOf(p.codes, row, p.rowWords), start));
      });
      const target = f.let(at(panel, group));
      f.for(0, block.depth, CHUNK, (step) => {
        const k = f.let(i32.shrU(i32.add(block.from, step), Math.log2(NF4_BLOCK)));
        const addresses = rows.map((row) => at(rowOf(p.absmax, row, blocksPerRow), k));
        const absmax = f.let(gather(addresses));
        for (let word = 0; word < CHUNK_WORDS; word++) {
          // Bytes of four words, one per row, regrouped: byte j of all rows stands together.
          const packed = f.let(gather(words, 4 * word));
          const regrouped = Array.from({ length: 16 }, (_, i) => 4 * (i & 3) + (i >> 2));
          const pairs = f.let(i8x16.shuffle(packed, packed, regrouped));
          const mask = v128.constBytes(Array(16).fill(0x0f));
          const even = f.let(v128.and(pairs, mask));
          const odd = f.let(v128.and(i16x8.shrU(pairs, 4), mask));
          [even, odd].forEach((codes, parity) => {
            levels(f, codes).forEach((vector, index) => {
              const lane = 8 * word + 2 * index + parity;
              f.do(v128.store(target, f32x4.mul(vector, absmax), lane * PANEL_STRIDE));
            });
          });
        }
        for (const pointer of words) f.set(pointer, i64.add(pointer, 4 * CHUNK_WORDS));
        f.set(target, i64.add(target, CHUNK * PANEL_STRIDE));
      });
    });
  });
}

/** Packs for `linearTransposed`: k runs over rows of the weight, columns along them. */
export function packNf4Rows(f: KernelBuilder, p: Nf4Locals, block: Block): void {
  packDecodedRows(f, block, (row, column, store) => decodeNf4Chunk(f, p, row, column, store));
}

/** The weights of a chunk of one row: eight vectors, each with the first of its lanes. */
export function decodeNf4Chunk(
  f: FunctionBuilder,
  p: Nf4Locals,
  row: Local<"i32">,
  column: Local<"i32">,
  store: (weights: Expression<"v128">, lane: number) => void,
): void {
  const start = i32.mul(i32.shrU(column, 5), CHUNK_WORDS);
  const words = f.let(at(rowOf(p.codes, row, p.rowWords), start));
  const blocksPerRow = i32.shrU(p.rowWords, Math.log2(NF4_BLOCK / 8));
  const blockInRow = i32.shrU(column, Math.log2(NF4_BLOCK));
  const absmax = f.let(v128.load32Splat(at(rowOf(p.absmax, row, blocksPerRow), blockInRow)));
  bytesOfChunk(f, 4, words).flatMap((codes) => levels(f, codes)).forEach((vector, index) => {
    store(f32x4.mul(vector, absmax), 4 * index);
  });
}

/** Address of a row of `words` words. */
function rowOf(
  base: Expression<"i64">,
  row: Expression<"i32">,
  words: Expression<"i32">,
): Expression<"i64"> {
  return i64.add(base, i64.mul(i64.mul(i64.extendU(row), i64.extendU(words)), 4));
}
