/**
 * Packing a block of an integer weight into panels, decoded: `w = scale * (code - zero)`.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { CHUNK } from "../packing.ts";
import { codeAt, codesOfChunk, codesOfColumn } from "./decode.ts";
import { packDecodedRows } from "./decoded_panels.ts";
import { forEachPanel } from "./dense_panels.ts";
import { at, type KernelBuilder, type LocalsOf } from "./kernel.ts";
import type { Block } from "./product_block.ts";
import { PANEL_STRIDE, TILE_COLUMNS } from "./tile.ts";
import { type Expression, f32, f32x4, i32, i64, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Parameters of an integer weight. */
export const INTEGER = {
  codes: "tensor",
  scales: "tensor",
  zeros: "tensor",
  weightRows: "i32",
  rowWords: "i32",
  blockRows: "i32",
  blockColumns: "i32",
  /** Blocks along one row. */
  rowBlocks: "i32",
} as const;

/** Parameters of an integer weight as a kernel sees them. */
export type IntegerLocals = LocalsOf<typeof INTEGER>;

/** Packs for `linear`: columns of the product are rows of the weight, k runs along them. */
export function packIntegerColumns(
  f: KernelBuilder,
  bits: IntegerBits,
  p: IntegerLocals,
  block: Block,
): void {
  f.if(
    i32.remU(p.blockColumns, CHUNK),
    () => packByElement(f, bits, p, block),
    () => packFourRows(f, bits, p, block),
  );
}

/** Four rows at once, one 32-bit lane each: a whole chunk has one scale per row. */
function packFourRows(f: KernelBuilder, bits: IntegerBits, p: IntegerLocals, block: Block): void {
  const lastRow = f.let(i32.sub(p.weightRows, 1));
  forEachPanel(f, block, (panel, column) => {
    f.for(0, TILE_COLUMNS, 4, (group) => {
      const rows = [0, 1, 2, 3].map((lane) => {
        const row = f.let(i32.add(i32.add(column, group), lane));
        return f.let(i32.minU(row, lastRow));
      });
      const words = rows.map((row) => {
        const start = i32.mul(i32.shrU(block.from, 5), bits);
        return f.let(at(rowOf(p.codes, row, p.rowWords), start));
      });
      const blocks = rows.map((row) => f.let(i32.mul(i32.divU(row, p.blockRows), p.rowBlocks)));
      const target = f.let(at(panel, group));
      f.for(0, block.depth, CHUNK, (step) => {
        const k = f.let(i32.divU(i32.add(block.from, step), p.blockColumns));
        const ofBlock = (tensor: Local<"i64">) => {
          const addresses = blocks.map((first) => at(tensor, i32.add(first, k)));
          return f.let(gather(addresses));
        };
        const scales = ofBlock(p.scales);
        const zeros = ofBlock(p.zeros);
        const chunk = Array.from(
          { length: bits },
          (_, word) => f.let(gather(words, 4 * word)),
        );
        for (let lane = 0; lane < CHUNK; lane++) {
          const codes = f32x4.convertI32x4S(codesOfColumn(bits, chunk, lane));
          const weights = f32x4.mul(f32x4.sub(codes, zeros), scales);
          f.do(v128.store(target, weights, lane * PANEL_STRIDE));
        }
        for (const pointer of words) f.set(pointer, i64.add(pointer, 4 * bits));
        f.set(target, i64.add(target, CHUNK * PANEL_STRIDE));
      });
    });
  });
}

/** One element at a time, for blocks that end within a chunk. */
function packByElement(f: KernelBuilder, bits: IntegerBits, p: IntegerLocals, block: Block): void {
  const lastRow = f.let(i32.sub(p.weightRows, 1));
  forEachPanel(f, block, (panel, column) => {
    f.for(0, TILE_COLUMNS, 1, (lane) => {
      const row = f.let(i32.add(column, lane));
      f.set(row, i32.minU(row, lastRow));
      const target = f.let(at(panel, lane));
      f.for(0, block.depth, 1, (step) => {
        const k = f.let(i32.add(block.from, step));
        f.do(f32.store(target, weightAt(f, bits, p, row, k)));
        f.set(target, i64.add(target, PANEL_STRIDE));
      });
    });
  });
}

/** Packs for `linearTransposed`: k runs over rows of the weight, columns along them. */
export function packIntegerRows(
  f: KernelBuilder,
  bits: IntegerBits,
  p: IntegerLocals,
  block: Block,
): void {
  packDecodedRows(f, block, (row, column, store) => decodeChunk(f, bits, p, row, column, store));
}

/** The weights of a chunk of one row: eight vectors, each with the first of its lanes. */
export function decodeChunk(
  f: FunctionBuilder,
  bits: IntegerBits,
  p: IntegerLocals,
  row: Local<"i32">,
  column: Local<"i32">,
  store: (weights: Expression<"v128">, lane: number) => void,
): void {
  const start = i32.mul(i32.shrU(column, 5), bits);
  f.if(i32.remU(p.blockColumns, CHUNK), () => {
    for (let first = 0; first < CHUNK; first += 4) {
      const lanes = [0, 1, 2, 3].map((lane) => {
        const k = f.let(i32.add(column, first + lane));
        return f.let(f32x4.splat(weightAt(f, bits, p, row, k)));
      }) as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
      store(blend(lanes), first);
    }
  }, () => {
    const words = f.let(at(rowOf(p.codes, row, p.rowWords), start));
    const index = f.let(blockOf(p, row, column));
    const scale = f.let(v128.load32Splat(at(p.scales, index)));
    const zero = f.let(v128.load32Splat(at(p.zeros, index)));
    codesOfChunk(f, bits, words).forEach((codes, vector) => {
      const difference = f32x4.sub(f32x4.convertI32x4S(codes), zero);
      store(f32x4.mul(difference, scale), 4 * vector);
    });
  });
}

/** One weight; columns beyond the end read codes that are there and the last block's scale. */
function weightAt(
  f: FunctionBuilder,
  bits: IntegerBits,
  p: IntegerLocals,
  row: Local<"i32">,
  column: Local<"i32">,
): Expression<"f32"> {
  const words = f.let(rowOf(p.codes, row, p.rowWords));
  const code = codeAt(bits, (word) => i32.load(at(words, word)), column);
  const index = f.let(blockOf(p, row, column));
  const zero = f32.load(at(p.zeros, index));
  return f32.mul(f32.sub(f32.convertI32S(code), zero), f32.load(at(p.scales, index)));
}

/** Index of the scale of a weight. */
function blockOf(
  p: IntegerLocals,
  row: Local<"i32">,
  column: Local<"i32">,
): Expression<"i32"> {
  const along = i32.divU(column, p.blockColumns);
  const inRow = i32.minU(along, i32.sub(p.rowBlocks, 1));
  return i32.add(i32.mul(i32.divU(row, p.blockRows), p.rowBlocks), inRow);
}

/** Address of a row of `words` words. */
function rowOf(
  base: Expression<"i64">,
  row: Expression<"i32">,
  words: Expression<"i32">,
): Expression<"i64"> {
  // Tables larger than 2^32 words exist; the product is taken in 64 bits.
  return i64.add(base, i64.mul(i64.mul(i64.extendU(row), i64.extendU(words)), 4));
}

/** Four 32-bit words from four addresses. */
export function gather(
  addresses: readonly Expression<"i64">[],
  offset = 0,
): Expression<"v128"> {
  const [first, ...others] = addresses as [Expression<"i64">, ...Expression<"i64">[]];
  return others.reduce(
    (vector, address, index) => v128.load32Lane(address, vector, index + 1, offset),
    v128.load32Zero(first, offset),
  );
}

/** The first lane of each of four vectors. */
function blend(
  [a, b, c, d]: [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">],
): Expression<"v128"> {
  const ab = v128.bitselect(a, b, v128.constWords([0xffffffff, 0, 0xffffffff, 0]));
  const cd = v128.bitselect(c, d, v128.constWords([0xffffffff, 0, 0xffffffff, 0]));
  return v128.bitselect(ab, cd, v128.constWords([0xffffffff, 0xffffffff, 0, 0]));
}
