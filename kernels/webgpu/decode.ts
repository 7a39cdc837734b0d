/**
 * Decoding of packed weights in WGSL, eight consecutive columns of one row ("octet") at a time: no
 * octet of any format straddles more words than one load can fetch, and both the forward product
 * (octets along the reduction) and the backward product (octets along the output) read whole octets.
 *
 * Every format is `w = scale(block) * (code - zero(block))`; NF4 codes decode to their level, its
 * zero is 0 and its scale the absmax.
 *
 * @module
 */

import {
  type IntegerBits,
  type IntegerWeight,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  type Nf4Weight,
  type Tensor,
} from "../device.ts";
import { NF4_LEVELS } from "../nf4.ts";
import type { Uniform } from "./program.ts";
import { component, range } from "./unroll.ts";
import { type Storage, u32 } from "./wgsl.ts";

/** A weight whose codes are read packed. */
export type PackedWeight = IntegerWeight | Nf4Weight;

/** What a kernel needs to read a packed weight. */
export interface Decoder {
  /** Distinguishes generated modules in labels: "int4", "nf4". */
  readonly name: string;
  readonly storage: readonly Storage[];
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /**
   * `struct Octet { low, high: vec4<f32> }`,
   * `codesAt(row, octet) -> Octet`: codes as floats,
   * `blockAt(row, column) -> u32`, `scaleAt(block) -> f32`, `zeroAt(block) -> f32`,
   * `weightsAt(row, octet) -> Octet`: decoded weights.
   */
  readonly declarations: string;
  /** Columns that share a scale. */
  readonly blockColumns: number;
  /** False if `zeroAt` is always 0. */
  readonly hasZeros: boolean;
}

/** The decoder of a packed weight. */
export function decoderOf(weight: PackedWeight): Decoder {
  return weight.format === "integer" ? integerDecoder(weight) : nf4Decoder(weight);
}

const OCTET = `
struct Octet { low: vec4<f32>, high: vec4<f32> }
`;

function integerDecoder(weight: IntegerWeight): Decoder {
  const { bits, blockRows, blockColumns, columns } = weight;
  const rowBlock = blockRows === 1 ? "row" : "(row / parameters.blockRows)";
  return {
    name: `int${bits}`,
    storage: [
      read("codes", weight.codes, bits === 8 ? "vec2<u32>" : "u32"),
      read("scales", weight.scales, "f32"),
      read("zeros", weight.zeros, "f32"),
    ],
    uniforms: {
      chunks: u32(Math.ceil(columns / 32)),
      blocks: u32(columns / blockColumns),
      blockColumns: u32(blockColumns),
      ...(blockRows === 1 ? {} : { blockRows: u32(blockRows) }),
    },
    declarations: `${OCTET}
fn codesAt(row: u32, octet: u32) -> Octet {
${INTEGER_CODES[bits]}
}
fn blockAt(row: u32, column: u32) -> u32 {
  return ${rowBlock} * parameters.blocks + column / parameters.blockColumns;
}
fn scaleAt(block: u32) -> f32 { return scales[block]; }
fn zeroAt(block: u32) -> f32 { return zeros[block]; }
${weightsAt(blockColumns, true)}`,
    blockColumns,
    hasZeros: true,
  };
}

/** Bodies of `codesAt`; `packing.ts` defines the layout. */
const INTEGER_CODES: Readonly<Record<IntegerBits, string>> = {
  2: `  let word = codes[row * parameters.chunks * 2u + (octet >> 1u)] >> ((octet & 1u) * 16u);
  return Octet(${fields("word", 2, 0)}, ${fields("word", 2, 4)});`,
  // Two words of low bit pairs, one word of high bits.
  3: `  let base = (row * parameters.chunks + (octet >> 2u)) * 3u;
  let low = codes[base + ((octet >> 1u) & 1u)] >> ((octet & 1u) * 16u);
  let high = codes[base + 2u] >> ((octet & 3u) * 8u);
  return Octet(
    ${fields("low", 2, 0)} + 4.0 * ${fields("high", 1, 0)},
    ${fields("low", 2, 4)} + 4.0 * ${fields("high", 1, 4)},
  );`,
  4: `  let word = codes[row * parameters.chunks * 4u + octet];
  return Octet(${fields("word", 4, 0)}, ${fields("word", 4, 4)});`,
  8: `  let words = codes[row * parameters.chunks * 4u + octet];
  return Octet(${fields("words.x", 8, 0)}, ${fields("words.y", 8, 0)});`,
};

/** Four consecutive `bits`-wide fields of a word as a vec4<f32>, starting at field `first`. */
function fields(word: string, bits: number, first: number): string {
  const shifts = range(4).map((index) => `${(first + index) * bits}u`).join(", ");
  return `vec4<f32>((vec4<u32>(${word}) >> vec4<u32>(${shifts})) & vec4<u32>(${2 ** bits - 1}u))`;
}

function nf4Decoder(weight: Nf4Weight): Decoder {
  const { absmax } = weight;
  const plain = absmax.kind === "plain";
  return {
    name: plain ? "nf4" : "nf4 double",
    storage: [
      read("codes", weight.codes, "u32"),
      ...(absmax.kind === "plain" ? [read("absmax", absmax.values, "f32")] : [
        read("absmax_codes", absmax.codes, "u32"),
        read("absmax_scales", absmax.scales, "f32"),
        read("absmax_offset", absmax.offset, "f32"),
      ]),
    ],
    uniforms: {
      chunks: u32(Math.ceil(weight.columns / 32)),
      blocks: u32(weight.columns / NF4_BLOCK),
      blockColumns: u32(NF4_BLOCK),
    },
    declarations: `${OCTET}
${LEVELS}
fn codesAt(row: u32, octet: u32) -> Octet {
  let word = codes[row * parameters.chunks * 4u + octet];
  return Octet(levels(word), levels(word >> 16u));
}
fn blockAt(row: u32, column: u32) -> u32 {
  return row * parameters.blocks + column / ${NF4_BLOCK}u;
}
${plain ? "fn scaleAt(block: u32) -> f32 { return absmax[block]; }" : DOUBLE_ABSMAX}
fn zeroAt(block: u32) -> f32 { return 0.0; }
${weightsAt(NF4_BLOCK, false)}`,
    blockColumns: NF4_BLOCK,
    hasZeros: false,
  };
}

/** Levels of the four lowest codes of a word, by a tree of selects: a table would be a slow gather. */
const LEVELS = `
fn levels(word: u32) -> vec4<f32> {
  let shifted = vec4<u32>(word) >> vec4<u32>(0u, 4u, 8u, 12u);
${
  range(4).map((bit) => `  let bit${bit} = (shifted & vec4<u32>(${1 << bit}u)) != vec4<u32>(0u);`)
    .join("\n")
}
  return ${levelTree(3, 0)};
}`;

function levelTree(bit: number, first: number): string {
  if (bit < 0) return `vec4<f32>(${(NF4_LEVELS[first] as number).toPrecision(9)})`;
  return `select(${levelTree(bit - 1, first)}, ${
    levelTree(bit - 1, first + (1 << bit))
  }, bit${bit})`;
}

/**
 * `DYNAMIC_MAP` of `nf4.ts` in closed form: codes 128..254 are the magnitudes of rank 1..127
 * ascending, 126..0 their negatives, 127 is zero and 255 is one. Rank r is cell r - 2^i of decade
 * i = floor(log2 r), and a decade's cells divide [0.1, 1] equally.
 */
const DOUBLE_ABSMAX = `
fn scaleAt(block: u32) -> f32 {
  let code = (absmax_codes[block >> 2u] >> ((block & 3u) * 8u)) & 255u;
  let rank = select(127u - min(code, 127u), code - 127u, code > 127u);
  let decade = firstLeadingBit(max(rank, 1u));
  let cells = f32(1u << decade);
  let centre = 0.1 + 0.9 * (f32(rank) - cells + 0.5) / cells;
  let power = ${
  [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1].reduceRight(
    (rest, value, decade) => `select(${rest}, ${value}, decade == ${decade}u)`,
    "1.0",
  )
};
  let magnitude = select(select(centre * power, 0.0, rank == 0u), 1.0, code == 255u);
  let value = select(magnitude, -magnitude, code < 127u);
  return fma(value, absmax_scales[block / ${NF4_ABSMAX_BLOCK}u], absmax_offset[0]);
}`;

function weightsAt(blockColumns: number, hasZeros: boolean): string {
  const decode = (half: string, block: string) =>
    hasZeros
      ? `scaleAt(${block}) * (packed.${half} - zeroAt(${block}))`
      : `scaleAt(${block}) * packed.${half}`;
  const high = blockColumns % 8 === 0
    ? "  let highBlock = block;"
    // The last octet of a row may end after four columns; its other half must still be finite.
    : `  let lastColumn = parameters.blocks * parameters.blockColumns - 1u;
  let highBlock = blockAt(row, min(octet * 8u + 4u, lastColumn));`;
  return `fn weightsAt(row: u32, octet: u32) -> Octet {
  let packed = codesAt(row, octet);
  let block = blockAt(row, octet * 8u);
${high}
  return Octet(${decode("low", "block")}, ${decode("high", "highBlock")});
}`;
}

function read(name: string, tensor: Tensor, element: string): Storage {
  return { name, tensor, access: "read", element };
}

/** The eight weights of an octet by index: `name.low.x` ... `name.high.w`. */
export function octetComponent(name: string, index: number): string {
  return `${name}.${index < 4 ? "low" : "high"}.${component(index)}`;
}
