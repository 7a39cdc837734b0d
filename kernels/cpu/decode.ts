/**
 * Integer codes in vectors: the layout of `packing.ts`, read by SIMD.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { CHUNK } from "../packing.ts";
import { type Expression, i16x8, i32, i32x4, i8x16, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/**
 * The codes of one column in four rows, one 32-bit lane each.
 *
 * @param words words[w] holds word `w` of a chunk of the four rows.
 * @param column Column within the chunk, 0 to 31.
 */
export function codesOfColumn(
  bits: IntegerBits,
  words: readonly Expression<"v128">[],
  column: number,
): Expression<"v128"> {
  const word = (index: number) => words[index] as Expression<"v128">;
  if (bits === 3) {
    const low = field(word(column >> 4), 2 * (column & 15), 2);
    const high = column >= 2 ? i32x4.shrU(word(2), column - 2) : i32x4.shl(word(2), 2 - column);
    return v128.or(low, v128.and(high, i32x4.splat(4)));
  }
  const perWord = CHUNK / bits;
  return field(word(Math.floor(column / perWord)), bits * (column % perWord), bits);
}

/** `bits` bits of every lane from bit `shift` on. */
function field(word: Expression<"v128">, shift: number, bits: number): Expression<"v128"> {
  const shifted = shift === 0 ? word : i32x4.shrU(word, shift);
  return shift + bits === 32 ? shifted : v128.and(shifted, i32x4.splat((1 << bits) - 1));
}

/**
 * The 32 codes of a chunk of one row, in order: eight vectors of four 32-bit lanes.
 *
 * @param words Address of the chunk.
 */
export function codesOfChunk(
  f: FunctionBuilder,
  bits: IntegerBits,
  words: Local<"i64">,
): Expression<"v128">[] {
  return bytesOfChunk(f, bits, words).flatMap((bytes) => widen(f, bytes));
}

/** The 32 codes of a chunk of one row, in order: two vectors of sixteen bytes. */
export function bytesOfChunk(
  f: FunctionBuilder,
  bits: IntegerBits,
  words: Local<"i64">,
): Local<"v128">[] {
  if (bits === 8) return [f.let(v128.load(words)), f.let(v128.load(words, 16))];
  if (bits === 4) {
    const packed = f.let(v128.load(words));
    const low = f.let(v128.and(packed, bytes(0x0f)));
    const high = f.let(v128.and(i16x8.shrU(packed, 4), bytes(0x0f)));
    return [zip(f, low, high, 0), zip(f, low, high, 8)];
  }
  if (bits === 1) return [0, 1].map((half) => f.let(bitsOfWord(f, words, 0, half, 1)));
  const packed = f.let(v128.load64Zero(words));
  // Byte j of fields[i] is code 4 j + i of sixteen, twice.
  const fields = [0, 2, 4, 6].map((shift) => {
    const shifted = shift === 0 ? packed : i16x8.shrU(packed, shift);
    return f.let(v128.and(shifted, bytes(3)));
  });
  const [first, second, third, fourth] = fields as [
    Local<"v128">,
    Local<"v128">,
    Local<"v128">,
    Local<"v128">,
  ];
  const even = zip(f, first, second, 0);
  const odd = zip(f, third, fourth, 0);
  const codes = [zip16(f, even, odd, 0), zip16(f, even, odd, 8)];
  if (bits === 2) return codes;
  // The third word of 3-bit codes holds their high bits.
  return codes.map((low, half) => f.let(v128.or(low, bitsOfWord(f, words, 8, half, 4))));
}

/** Sixteen bytes, each `value` where bit `16 half + i` of the word at `offset` is 1, else 0. */
function bitsOfWord(
  f: FunctionBuilder,
  words: Local<"i64">,
  offset: number,
  half: number,
  value: number,
): Expression<"v128"> {
  const spread = Array.from({ length: 16 }, (_, i) => 2 * half + (i >> 3));
  const word = f.let(v128.load32Splat(words, offset));
  const source = i8x16.shuffle(word, word, spread);
  const mask = f.let(v128.constBytes(Array.from({ length: 16 }, (_, i) => 1 << (i & 7))));
  const isSet = i8x16.eq(v128.and(source, mask), mask);
  return v128.and(isSet, bytes(value));
}

/**
 * The floats that sixteen codes stand for, in order: four vectors. Four swizzles fetch the four bytes
 * of all sixteen, which are then interleaved.
 *
 * @param planes planes[i] holds byte `i` of the float of every code.
 */
export function floatsOfPlanes(
  f: FunctionBuilder,
  planes: readonly Expression<"v128">[],
  codes: Local<"v128">,
): Expression<"v128">[] {
  const [first, second, third, fourth] = planes.map((plane) =>
    f.let(i8x16.relaxedSwizzle(plane, codes))
  ) as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
  return [0, 8].flatMap((start) => {
    const low = zip(f, first, second, start);
    const high = zip(f, third, fourth, start);
    return [zip16(f, low, high, 0), zip16(f, low, high, 8)];
  });
}

/** Sixteen bytes as four vectors of 32-bit lanes. */
function widen(f: FunctionBuilder, value: Local<"v128">): Expression<"v128">[] {
  const low = f.let(i16x8.extendLowI8x16U(value));
  const high = f.let(i16x8.extendHighI8x16U(value));
  return [low, high].flatMap((half) => [
    i32x4.extendLowI16x8U(half),
    i32x4.extendHighI16x8U(half),
  ]);
}

function bytes(value: number): Expression<"v128"> {
  return v128.constBytes(Array(16).fill(value));
}

/** Eight bytes of each, from byte `start` on, alternating. */
function zip(
  f: FunctionBuilder,
  even: Local<"v128">,
  odd: Local<"v128">,
  start: number,
): Local<"v128"> {
  const lanes = Array.from({ length: 16 }, (_, i) => start + (i >> 1) + (i & 1) * 16);
  return f.let(i8x16.shuffle(even, odd, lanes));
}

/** Four 16-bit units of each, from byte `start` on, alternating. */
function zip16(
  f: FunctionBuilder,
  even: Local<"v128">,
  odd: Local<"v128">,
  start: number,
): Local<"v128"> {
  const lanes = Array.from(
    { length: 16 },
    (_, i) => start + 2 * (i >> 2) + (i & 1) + ((i >> 1) & 1) * 16,
  );
  return f.let(i8x16.shuffle(even, odd, lanes));
}

/** One code, for layouts that the vector code does not know. */
export function codeAt(
  bits: IntegerBits,
  load: (word: Expression<"i32">) => Expression<"i32">,
  column: Local<"i32">,
): Expression<"i32"> {
  const chunk = i32.mul(i32.shrU(column, 5), bits);
  const lane = i32.and(column, 31);
  if (bits === 3) {
    const low = i32.shrU(
      load(i32.add(chunk, i32.shrU(lane, 4))),
      i32.shl(i32.and(lane, 15), 1),
    );
    const high = i32.shrU(load(i32.add(chunk, 2)), lane);
    return i32.or(i32.and(low, 3), i32.shl(i32.and(high, 1), 2));
  }
  const bit = i32.mul(lane, bits);
  const word = load(i32.add(chunk, i32.shrU(bit, 5)));
  return i32.and(i32.shrU(word, i32.and(bit, 31)), (1 << bits) - 1);
}
