/**
 * Decoding of packed weights in WGSL, eight consecutive columns of one row ("octet") at a time: no
 * octet of any format straddles more words than one load can fetch, and both the forward product
 * (octets along the reduction) and the backward product (octets along the output) read whole octets.
 *
 * Most formats are `w = scale(block) * (code - zero(block))`; NF4 codes decode to their level, its
 * zero is 0 and its scale the absmax. The values of a codebook are looked up.
 *
 * @module
 */

import {
  CODEBOOK_LEVELS,
  type CodebookWeight,
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
export type PackedWeight = IntegerWeight | Nf4Weight | CodebookWeight;

/** What a kernel needs to read a packed weight. */
export interface Decoder {
  /** Distinguishes generated modules in labels: "int4", "nf4". */
  readonly name: string;
  /** Buffers to bind. */
  readonly storage: readonly Storage[];
  /** Read as `parameters.name`. */
  readonly uniforms: Readonly<Record<string, Uniform>>;
  /**
   * `wordsAt(row, octet) -> vec2<u32>`: the packed octet, its codes from the lowest bits on;
   * `codesOf(x, y: vec4<u32>, place: vec4<u32>) -> vec4<f32>`: codes at places 0..7 of four such octets;
   * `blockAt(row, column) -> u32`, and with scales `scaleAt(block) -> f32`, `zeroAt(block) -> f32`,
   * else `levels`, eight a block, and `chosen(codes, level 0, ..., level 7) -> vec4<f32>`;
   * `struct Octet { low, high: vec4<f32> }`, `weightsAt(row, octet) -> Octet`: decoded weights;
   * without scales also `halfAt(row, column) -> vec4<f32>`, those of half an octet.
   */
  readonly declarations: string;
  /** Columns that share a scale. */
  readonly blockColumns: number;
  /** What the weights of a block share. */
  readonly blockValues: readonly BlockValue[];
  /** False if values are looked up. */
  readonly hasScales: boolean;
  /** False if `zeroAt` is always 0. */
  readonly hasZeros: boolean;
}

/** The decoder of a packed weight. */
export function decoderOf(weight: PackedWeight): Decoder {
  switch (weight.format) {
    case "integer":
      return integerDecoder(weight);
    case "nf4":
      return nf4Decoder(weight);
    case "codebook":
      return codebookDecoder(weight);
  }
}

/** What all weights of a block share: the name of a variable, and the expression that loads it. */
export type BlockValue = readonly [name: string, load: (block: string) => string];

const SCALE: readonly BlockValue[] = [
  ["scale", (block) => `scaleAt(${block})`],
  ["zero", (block) => `zeroAt(${block})`],
];

const LEVEL_VARIABLES: readonly BlockValue[] = range(CODEBOOK_LEVELS).map((i) => [
  `level${i}_`,
  (block) => `levels[${block} * ${CODEBOOK_LEVELS}u + ${i}u]`,
]);

/**
 * The expression of decoded weights, with the values of their block, or of one block for each, in
 * variables of {@linkcode Decoder.blockValues} with this suffix.
 */
export function decoded(
  { hasScales, hasZeros, blockValues }: Decoder,
  codes: string,
  suffix: number | string,
): string {
  if (!hasScales) {
    const levels = blockValues.map(([name]) => `vec4<f32>(${name}${suffix})`);
    return `chosen(${codes}, ${levels.join(", ")})`;
  }
  return hasZeros ? `scale${suffix} * (${codes} - zero${suffix})` : `scale${suffix} * ${codes}`;
}

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
    declarations: `${INTEGER_WORDS[bits]}
fn blockAt(row: u32, column: u32) -> u32 {
  return ${rowBlock} * parameters.blocks + column / parameters.blockColumns;
}
fn scaleAt(block: u32) -> f32 { return scales[block]; }
fn zeroAt(block: u32) -> f32 { return zeros[block]; }
${weightsAt(blockColumns, true)}`,
    blockColumns,
    blockValues: SCALE,
    hasScales: true,
    hasZeros: true,
  };
}

const WORD = `fn wordsAt(row: u32, octet: u32) -> vec2<u32> {
  return vec2<u32>(codes[row * parameters.chunks * 4u + octet], 0u);
}`;

/** `wordsAt` and `codesOf`; `packing.ts` defines the layout. */
const INTEGER_WORDS: Readonly<Record<IntegerBits, string>> = {
  1: `fn wordsAt(row: u32, octet: u32) -> vec2<u32> {
  return vec2<u32>(codes[row * parameters.chunks + octet / 4u] >> (octet % 4u * 8u), 0u);
}
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  return vec4<f32>((x >> place) & vec4<u32>(1u));
}`,
  2: `fn wordsAt(row: u32, octet: u32) -> vec2<u32> {
  let word = codes[row * parameters.chunks * 2u + octet / 2u];
  return vec2<u32>(word >> (octet % 2u * 16u), 0u);
}
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  return vec4<f32>((x >> (place * 2u)) & vec4<u32>(3u));
}`,
  // A chunk is two words of low bit pairs and one word of high bits.
  3: `fn wordsAt(row: u32, octet: u32) -> vec2<u32> {
  let chunk = (row * parameters.chunks + octet / 4u) * 3u;
  return vec2<u32>(
    codes[chunk + octet / 2u % 2u] >> (octet % 2u * 16u),
    codes[chunk + 2u] >> (octet % 4u * 8u),
  );
}
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  let low = (x >> (place * 2u)) & vec4<u32>(3u);
  let high = (y >> place) & vec4<u32>(1u);
  return vec4<f32>(low | (high << vec4<u32>(2u)));
}`,
  4: `${WORD}
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  return vec4<f32>((x >> (place * 4u)) & vec4<u32>(15u));
}`,
  8: `fn wordsAt(row: u32, octet: u32) -> vec2<u32> {
  return codes[row * parameters.chunks * 4u + octet];
}
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  let word = select(y, x, place < vec4<u32>(4u));
  return vec4<f32>((word >> (place % 4u * 8u)) & vec4<u32>(255u));
}`,
};

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
    declarations: `${WORD}
${LEVELS}
fn blockAt(row: u32, column: u32) -> u32 {
  return row * parameters.blocks + column / ${NF4_BLOCK}u;
}
${plain ? "fn scaleAt(block: u32) -> f32 { return absmax[block]; }" : DOUBLE_ABSMAX}
fn zeroAt(block: u32) -> f32 { return 0.0; }
${weightsAt(NF4_BLOCK, false)}`,
    blockColumns: NF4_BLOCK,
    blockValues: SCALE,
    hasScales: true,
    hasZeros: false,
  };
}

function codebookDecoder({ codes, levels, columns, blockColumns }: CodebookWeight): Decoder {
  return {
    name: "codebook",
    storage: [read("codes", codes, "u32"), read("levels", levels, "f32")],
    uniforms: {
      chunks: u32(Math.ceil(columns / 32)),
      blocks: u32(columns / blockColumns),
      blockColumns: u32(blockColumns),
    },
    declarations: `${INTEGER_WORDS[3]}
fn blockAt(row: u32, column: u32) -> u32 {
  return row * parameters.blocks + column / parameters.blockColumns;
}
${CHOSEN}
struct Octet { low: vec4<f32>, high: vec4<f32> }
fn halfAt(row: u32, column: u32) -> vec4<f32> {
  let words = wordsAt(row, column / 8u);
  let places = vec4<u32>(0u, 1u, 2u, 3u) + column % 8u;
  let codes = codesOf(vec4<u32>(words.x), vec4<u32>(words.y), places);
  let level = blockAt(row, column) * ${CODEBOOK_LEVELS}u + vec4<u32>(codes);
  return vec4<f32>(${range(4).map((i) => `levels[level.${component(i)}]`).join(", ")});
}
fn weightsAt(row: u32, octet: u32) -> Octet {
  return Octet(halfAt(row, octet * 8u), halfAt(row, octet * 8u + 4u));
}`,
    blockColumns,
    blockValues: LEVEL_VARIABLES,
    hasScales: false,
    hasZeros: false,
  };
}

/** One of eight by a tree of selects: indexing a vector would put it in memory. */
const CHOSEN = `fn chosen(codes: vec4<f32>, ${
  range(CODEBOOK_LEVELS).map((i) => `level${i}: vec4<f32>`).join(", ")
}) -> vec4<f32> {
  let bits = vec4<u32>(codes);
${
  range(3).map((bit) => `  let bit${bit} = (bits & vec4<u32>(${1 << bit}u)) != vec4<u32>(0u);`)
    .join("\n")
}
  return ${selectTree(2, 0, (level) => `level${level}`)};
}`;

/** `codesOf` of NF4 by a tree of selects: a table would be a slow gather. */
const LEVELS = `
fn codesOf(x: vec4<u32>, y: vec4<u32>, place: vec4<u32>) -> vec4<f32> {
  let shifted = x >> (place * 4u);
${
  range(4).map((bit) => `  let bit${bit} = (shifted & vec4<u32>(${1 << bit}u)) != vec4<u32>(0u);`)
    .join("\n")
}
  return ${
  selectTree(3, 0, (level) => `vec4<f32>(${(NF4_LEVELS[level] as number).toPrecision(9)})`)
};
}`;

/** The value whose number, from `first` on, has the bits `bit0` to `bit<bit>`. */
function selectTree(bit: number, first: number, value: (index: number) => string): string {
  if (bit < 0) return value(first);
  const [clear, set] = [first, first + (1 << bit)]
    .map((start) => selectTree(bit - 1, start, value));
  return `select(${clear}, ${set}, bit${bit})`;
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
  const decode = (places: string, block: string) => {
    const codes = `codesOf(vec4<u32>(words.x), vec4<u32>(words.y), vec4<u32>(${places}))`;
    return hasZeros
      ? `scaleAt(${block}) * (${codes} - zeroAt(${block}))`
      : `scaleAt(${block}) * ${codes}`;
  };
  const high = blockColumns % 8 === 0
    ? "  let highBlock = block;"
    // The last octet of a row may end after four columns; its other half must still be finite.
    : `  let lastColumn = parameters.blocks * parameters.blockColumns - 1u;
  let highBlock = blockAt(row, min(octet * 8u + 4u, lastColumn));`;
  return `struct Octet { low: vec4<f32>, high: vec4<f32> }
fn weightsAt(row: u32, octet: u32) -> Octet {
  let words = wordsAt(row, octet);
  let block = blockAt(row, octet * 8u);
${high}
  return Octet(
    ${decode("0u, 1u, 2u, 3u", "block")},
    ${decode("4u, 5u, 6u, 7u", "highBlock")},
  );
}`;
}

/** The same decoder with a suffix to all its names, for kernels that read several weights. */
export function withSuffix(decoder: Decoder, suffix: string): Decoder {
  if (suffix === "") return decoder;
  const names = [
    ...decoder.storage.map(({ name }) => name),
    ...["wordsAt", "codesOf", "blockAt", "scaleAt", "zeroAt", "chosen", "halfAt", "weightsAt"],
    "Octet",
  ];
  const fields = Object.keys(decoder.uniforms);
  return {
    ...decoder,
    storage: decoder.storage.map((storage) => ({ ...storage, name: storage.name + suffix })),
    uniforms: Object.fromEntries(
      Object.entries(decoder.uniforms).map(([name, uniform]) => [name + suffix, uniform]),
    ),
    declarations: decoder.declarations
      .replace(new RegExp(`\\b(${names.join("|")})\\b`, "g"), `$1${suffix}`)
      .replace(
        new RegExp(`\\bparameters\\.(${fields.join("|")})\\b`, "g"),
        `parameters.$1${suffix}`,
      ),
  };
}

function read(name: string, tensor: Tensor, element: string): Storage {
  return { name, tensor, access: "read", element };
}

/** The eight weights of an octet by index: `name.low.x` ... `name.high.w`. */
export function octetComponent(name: string, index: number): string {
  return `${name}.${index < 4 ? "low" : "high"}.${component(index)}`;
}
