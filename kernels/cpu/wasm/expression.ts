/**
 * Typed WebAssembly expressions. The namespaces {@linkcode i32}, {@linkcode f32},
 * {@linkcode f32x4} and so on hold instructions under the names of the WebAssembly text format, in
 * camelCase: `f32x4.relaxedMadd(a, b, c)` is `(f32x4.relaxed_madd a b c)`.
 *
 * An expression is a value: using it twice computes it twice. `FunctionBuilder.let` keeps a result.
 *
 * @module
 */

import { type Bytes, float32, float64, signed, unsigned } from "./encoding.ts";

/** Types of values in WebAssembly. */
export type ValueType = "i32" | "i64" | "f32" | "f64" | "v128";

/** Code that leaves one value of type `T` on the stack. */
export interface Expression<T extends ValueType = ValueType> {
  readonly type: T;
  readonly code: Bytes;
}

/** Code that leaves nothing on the stack. */
export interface Statement {
  readonly code: Bytes;
}

/** An expression, or a number that stands for a constant. */
export type Operand<T extends ValueType> = Expression<T> | number;

const CONSTANT: Readonly<Record<Exclude<ValueType, "v128">, (value: number) => Bytes>> = {
  i32: (value) => [0x41, ...signed(value | 0)],
  i64: (value) => [0x42, ...signed(value)],
  f32: (value) => [0x43, ...float32(value)],
  f64: (value) => [0x44, ...float64(value)],
};

/** Makes an expression of an operand. */
export function toExpression<T extends ValueType>(type: T, operand: Operand<T>): Expression<T> {
  if (typeof operand !== "number") return operand;
  if (type === "v128") throw new TypeError("A vector has no numeric constant; use f32x4.splat.");
  return { type, code: CONSTANT[type as Exclude<ValueType, "v128">](operand) };
}

function join<T extends ValueType>(
  type: T,
  opcode: Bytes,
  ...operands: Expression[]
): Expression<T> {
  return { type, code: [...operands.flatMap((operand) => operand.code), ...opcode] };
}

/** An instruction with two operands of one type. */
function binary<T extends ValueType, R extends ValueType>(
  operands: T,
  result: R,
  ...opcode: Bytes
) {
  return (left: Operand<T>, right: Operand<T>): Expression<R> =>
    join(result, opcode, toExpression(operands, left), toExpression(operands, right));
}

/** An instruction with one operand. */
function unary<T extends ValueType, R extends ValueType>(operand: T, result: R, ...opcode: Bytes) {
  return (value: Operand<T>): Expression<R> => join(result, opcode, toExpression(operand, value));
}

/** Opcode of a SIMD instruction: prefix 0xFD, then a number in LEB128. */
function simd(opcode: number): Bytes {
  return [0xfd, ...unsigned(opcode)];
}

/** A load from `address + offset` bytes; `align` is the base-2 logarithm of the alignment. */
function load<R extends ValueType>(result: R, align: number, opcode: Bytes) {
  return (address: Expression<"i32" | "i64">, offset = 0): Expression<R> =>
    join(result, [...opcode, align, ...unsigned(offset)], address);
}

/** A store to `address + offset` bytes. */
function store<T extends ValueType>(value: T, align: number, opcode: Bytes) {
  return (address: Expression<"i32" | "i64">, content: Operand<T>, offset = 0): Statement => ({
    code: [
      ...address.code,
      ...toExpression(value, content).code,
      ...opcode,
      align,
      ...unsigned(offset),
    ],
  });
}

/** 32-bit integers: counts, indices, codes. */
export const i32 = {
  const: (value: number): Expression<"i32"> => toExpression("i32", value),
  load: load("i32", 2, [0x28]),
  load8U: load("i32", 0, [0x2d]),
  store: store("i32", 2, [0x36]),
  eqz: unary("i32", "i32", 0x45),
  eq: binary("i32", "i32", 0x46),
  ne: binary("i32", "i32", 0x47),
  ltS: binary("i32", "i32", 0x48),
  ltU: binary("i32", "i32", 0x49),
  gtS: binary("i32", "i32", 0x4a),
  gtU: binary("i32", "i32", 0x4b),
  leS: binary("i32", "i32", 0x4c),
  leU: binary("i32", "i32", 0x4d),
  geS: binary("i32", "i32", 0x4e),
  geU: binary("i32", "i32", 0x4f),
  add: binary("i32", "i32", 0x6a),
  sub: binary("i32", "i32", 0x6b),
  mul: binary("i32", "i32", 0x6c),
  divU: binary("i32", "i32", 0x6e),
  remU: binary("i32", "i32", 0x70),
  and: binary("i32", "i32", 0x71),
  or: binary("i32", "i32", 0x72),
  xor: binary("i32", "i32", 0x73),
  shl: binary("i32", "i32", 0x74),
  shrS: binary("i32", "i32", 0x75),
  shrU: binary("i32", "i32", 0x76),
  rotl: binary("i32", "i32", 0x77),
  wrap: unary("i64", "i32", 0xa7),
  truncF32S: unary("f32", "i32", 0xa8),
  reinterpret: unary("f32", "i32", 0xbc),
  /** The smaller of two unsigned numbers; both are computed twice, so they should be cheap. */
  minU: (left: Operand<"i32">, right: Operand<"i32">): Expression<"i32"> =>
    select(toExpression("i32", left), toExpression("i32", right), i32.ltU(left, right)),
  atomic: {
    load: load("i32", 2, [0xfe, 0x10]),
    store: store("i32", 2, [0xfe, 0x17]),
    /** Adds and returns what was there before. */
    add: (address: Expression<"i32" | "i64">, value: Operand<"i32">): Expression<"i32"> =>
      join("i32", [0xfe, 0x1e, 2, 0], address, toExpression("i32", value)),
    /** Wakes up to `count` threads that wait at an address; returns how many. */
    notify: (address: Expression<"i32" | "i64">, count: Operand<"i32">): Expression<"i32"> =>
      join("i32", [0xfe, 0x00, 2, 0], address, toExpression("i32", count)),
    /** Sleeps while the word at an address is `expected`, until it is notified. */
    wait: (address: Expression<"i32" | "i64">, expected: Operand<"i32">): Expression<"i32"> =>
      join(
        "i32",
        [0xfe, 0x01, 2, 0],
        address,
        toExpression("i32", expected),
        toExpression("i64", -1),
      ),
  },
};

/** 64-bit integers: addresses in a 64-bit memory. */
export const i64 = {
  const: (value: number): Expression<"i64"> => toExpression("i64", value),
  load: load("i64", 3, [0x29]),
  add: binary("i64", "i64", 0x7c),
  sub: binary("i64", "i64", 0x7d),
  mul: binary("i64", "i64", 0x7e),
  ltU: binary("i64", "i32", 0x54),
  extendU: unary("i32", "i64", 0xad),
};

/** 32-bit floats. */
export const f32 = {
  const: (value: number): Expression<"f32"> => toExpression("f32", value),
  load: load("f32", 2, [0x2a]),
  store: store("f32", 2, [0x38]),
  eq: binary("f32", "i32", 0x5b),
  ne: binary("f32", "i32", 0x5c),
  lt: binary("f32", "i32", 0x5d),
  gt: binary("f32", "i32", 0x5e),
  le: binary("f32", "i32", 0x5f),
  ge: binary("f32", "i32", 0x60),
  abs: unary("f32", "f32", 0x8b),
  neg: unary("f32", "f32", 0x8c),
  sqrt: unary("f32", "f32", 0x91),
  add: binary("f32", "f32", 0x92),
  sub: binary("f32", "f32", 0x93),
  mul: binary("f32", "f32", 0x94),
  div: binary("f32", "f32", 0x95),
  min: binary("f32", "f32", 0x96),
  max: binary("f32", "f32", 0x97),
  convertI32S: unary("i32", "f32", 0xb2),
  convertI32U: unary("i32", "f32", 0xb3),
  demote: unary("f64", "f32", 0xb6),
  reinterpret: unary("i32", "f32", 0xbe),
};

/** 64-bit floats: long sums. */
export const f64 = {
  const: (value: number): Expression<"f64"> => toExpression("f64", value),
  load: load("f64", 3, [0x2b]),
  store: store("f64", 3, [0x39]),
  sqrt: unary("f64", "f64", 0x9f),
  add: binary("f64", "f64", 0xa0),
  sub: binary("f64", "f64", 0xa1),
  mul: binary("f64", "f64", 0xa2),
  div: binary("f64", "f64", 0xa3),
  lt: binary("f64", "i32", 0x63),
  min: binary("f64", "f64", 0xa4),
  promote: unary("f32", "f64", 0xbb),
};

/** A lane of a vector as a scalar. */
function extract<R extends ValueType>(result: R, opcode: number) {
  return (value: Expression<"v128">, lane: number): Expression<R> =>
    join(result, [...simd(opcode), lane], value);
}

/** An instruction with three vector operands. */
function ternary(opcode: number) {
  return (
    first: Expression<"v128">,
    second: Expression<"v128">,
    third: Expression<"v128">,
  ): Expression<"v128"> => join("v128", simd(opcode), first, second, third);
}

/** A shift of every lane by the same count. */
function shift(opcode: number) {
  return (value: Expression<"v128">, count: Operand<"i32">): Expression<"v128"> =>
    join("v128", simd(opcode), value, toExpression("i32", count));
}

/** 128-bit vectors, whatever their lanes mean. */
export const v128 = {
  load: load("v128", 4, simd(0)),
  /** Eight bytes, each extended to 16 bits. */
  load8x8U: load("v128", 3, simd(2)),
  /** One 32-bit word in all four lanes. */
  load32Splat: load("v128", 2, simd(9)),
  /** One 64-bit word in both halves. */
  load64Splat: load("v128", 3, simd(10)),
  /** One 32-bit word in the first lane, zeros behind it. */
  load32Zero: load("v128", 2, simd(0x5c)),
  load64Zero: load("v128", 3, simd(0x5d)),
  store: store("v128", 4, simd(11)),
  /** Replaces one 32-bit lane by a word of memory. */
  load32Lane: (
    address: Expression<"i32" | "i64">,
    value: Expression<"v128">,
    lane: number,
    offset = 0,
  ): Expression<"v128"> =>
    join("v128", [...simd(0x56), 2, ...unsigned(offset), lane], address, value),
  /** Stores one 32-bit lane. */
  store32Lane: (
    address: Expression<"i32" | "i64">,
    value: Expression<"v128">,
    lane: number,
    offset = 0,
  ): Statement => ({
    code: [...address.code, ...value.code, ...simd(0x5a), 2, ...unsigned(offset), lane],
  }),
  /** A constant of four 32-bit words. */
  constWords: (words: readonly [number, number, number, number]): Expression<"v128"> => ({
    type: "v128",
    code: [...simd(12), ...new Uint8Array(new Uint32Array(words).buffer)],
  }),
  /** A constant of sixteen bytes. */
  constBytes: (bytes: readonly number[]): Expression<"v128"> => {
    if (bytes.length !== 16) throw new RangeError(`A vector has 16 bytes, not ${bytes.length}.`);
    return { type: "v128", code: [...simd(12), ...bytes] };
  },
  not: unary("v128", "v128", ...simd(77)),
  and: binary("v128", "v128", ...simd(78)),
  andnot: binary("v128", "v128", ...simd(79)),
  or: binary("v128", "v128", ...simd(80)),
  xor: binary("v128", "v128", ...simd(81)),
  /** Bits of `first` where `mask` is 1, of `second` where it is 0. */
  bitselect: ternary(82),
  anyTrue: unary("v128", "i32", ...simd(83)),
};

/** Sixteen 8-bit lanes. */
export const i8x16 = {
  splat: unary("i32", "v128", ...simd(15)),
  /** Lane `i` of the result is lane `lanes[i]` of `first` (0-15) and `second` (16-31) together. */
  shuffle: (
    first: Expression<"v128">,
    second: Expression<"v128">,
    lanes: readonly number[],
  ): Expression<"v128"> => {
    if (lanes.length !== 16) throw new RangeError(`A shuffle names 16 lanes, not ${lanes.length}.`);
    return join("v128", [...simd(13), ...lanes], first, second);
  },
  /** Lane `i` of the result is `table[indices[i]]`, 0 for indices above 15. */
  swizzle: binary("v128", "v128", ...simd(14)),
  /** As swizzle, for indices known to lie in 0-15: one instruction on x86. */
  relaxedSwizzle: binary("v128", "v128", ...simd(0x100)),
  eq: binary("v128", "v128", ...simd(35)),
  shl: shift(107),
  shrU: shift(109),
  add: binary("v128", "v128", ...simd(110)),
  sub: binary("v128", "v128", ...simd(113)),
};

/** Eight 16-bit lanes. */
export const i16x8 = {
  splat: unary("i32", "v128", ...simd(16)),
  extendLowI8x16U: unary("v128", "v128", ...simd(137)),
  extendHighI8x16U: unary("v128", "v128", ...simd(138)),
  shl: shift(139),
  shrU: shift(141),
};

/** Four 32-bit integer lanes. */
export const i32x4 = {
  splat: unary("i32", "v128", ...simd(17)),
  extract: extract("i32", 27),
  extendLowI16x8U: unary("v128", "v128", ...simd(169)),
  extendHighI16x8U: unary("v128", "v128", ...simd(170)),
  eq: binary("v128", "v128", ...simd(55)),
  ltS: binary("v128", "v128", ...simd(57)),
  ltU: binary("v128", "v128", ...simd(58)),
  gtU: binary("v128", "v128", ...simd(60)),
  geU: binary("v128", "v128", ...simd(64)),
  shl: shift(171),
  shrS: shift(172),
  shrU: shift(173),
  add: binary("v128", "v128", ...simd(174)),
  sub: binary("v128", "v128", ...simd(177)),
  mul: binary("v128", "v128", ...simd(181)),
  truncSatF32x4S: unary("v128", "v128", ...simd(248)),
};

/** Four 32-bit float lanes. */
export const f32x4 = {
  splat: unary("f32", "v128", ...simd(19)),
  extract: extract("f32", 31),
  eq: binary("v128", "v128", ...simd(65)),
  lt: binary("v128", "v128", ...simd(67)),
  gt: binary("v128", "v128", ...simd(68)),
  le: binary("v128", "v128", ...simd(69)),
  ge: binary("v128", "v128", ...simd(70)),
  nearest: unary("v128", "v128", ...simd(106)),
  abs: unary("v128", "v128", ...simd(224)),
  neg: unary("v128", "v128", ...simd(225)),
  sqrt: unary("v128", "v128", ...simd(227)),
  add: binary("v128", "v128", ...simd(228)),
  sub: binary("v128", "v128", ...simd(229)),
  mul: binary("v128", "v128", ...simd(230)),
  div: binary("v128", "v128", ...simd(231)),
  min: binary("v128", "v128", ...simd(232)),
  max: binary("v128", "v128", ...simd(233)),
  /** `right < left ? right : left`: NaN on the left stays. */
  pmin: binary("v128", "v128", ...simd(234)),
  /** `left < right ? right : left`: NaN on the left stays. */
  pmax: binary("v128", "v128", ...simd(235)),
  /** One instruction on x86 and ARM; what it does with NaN and with zeros of two signs differs. */
  relaxedMin: binary("v128", "v128", ...simd(0x10d)),
  relaxedMax: binary("v128", "v128", ...simd(0x10e)),
  /** `first * second + third`, rounded once where the machine has a fused multiply-add. */
  relaxedMadd: ternary(0x105),
  /** `third - first * second`. */
  relaxedNmadd: ternary(0x106),
  convertI32x4S: unary("v128", "v128", ...simd(250)),
  convertI32x4U: unary("v128", "v128", ...simd(251)),
  demoteF64x2Zero: unary("v128", "v128", ...simd(94)),
};

/** Two 64-bit float lanes: long sums. */
export const f64x2 = {
  splat: unary("f64", "v128", ...simd(20)),
  extract: extract("f64", 33),
  promoteLowF32x4: unary("v128", "v128", ...simd(95)),
  add: binary("v128", "v128", ...simd(240)),
  mul: binary("v128", "v128", ...simd(242)),
  relaxedMadd: ternary(0x107),
};

/** `first` where `condition` is not 0, else `second`; both are computed. */
export function select<T extends ValueType>(
  first: Expression<T>,
  second: Expression<T>,
  condition: Expression<"i32">,
): Expression<T> {
  // The untyped form does not take vectors; the typed one takes everything.
  const code = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b }[first.type];
  return join(first.type, [0x1c, 1, code], first, second, condition);
}
