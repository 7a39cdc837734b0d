// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Weights as GPTQ checkpoints hold them (AutoGPTQ, GPTQModel), and back.
 *
 * All words are 32 bits wide. Codes lie along the inputs of an output, one output beside the other;
 * zero points lie along the outputs, one group below the other. Both are gapless streams of
 * `bits`-wide fields, lowest bits first: with 3 bits, 32 fields take three words and two of them
 * straddle. `checkpoint_format: gptq` (version 1) stores zero points less one, modulo the number of
 * codes, `gptq_v2` stores them as they are.
 *
 * @module
 */

import { CHUNK, packCodes, unpackCodes } from "../../kernels/packing.ts";
import { UserError } from "../errors.ts";
import type { HostIntegerWeight, HostOrderedWeight } from "./host_weight.ts";

/** Widths of codes that GPTQ checkpoints have. */
export const GPTQ_BITS = [2, 3, 4, 8] as const;

/** One of {@linkcode GPTQ_BITS}. */
export type GptqBits = typeof GPTQ_BITS[number];

/** How zero points are stored: less one, or as they are. */
export type GptqFormat = "gptq" | "gptq_v2";

/** The tensors of one linear layer. */
export interface GptqTensors {
  /** `[columns * bits / 32, rows]`. */
  readonly qweight: Uint32Array;
  /** `[groups, rows * bits / 32]`. */
  readonly qzeros: Uint32Array;
  /** `[groups, rows]`. */
  readonly scales: Float32Array;
  /** `[columns]`: the group of each input. */
  readonly groups: Int32Array;
}

/** What the tensors of a layer are of. */
export interface GptqShape {
  /** Outputs. */
  readonly rows: number;
  /** Inputs. */
  readonly columns: number;
  /** Width of a code. */
  readonly bits: GptqBits;
  /** Inputs that share a scale; divides `columns`. */
  readonly groupSize: number;
  /** How zero points are stored. */
  readonly format: GptqFormat;
}

/**
 * Packs `bits`-wide values without gaps, lowest bits first.
 *
 * @throws {RangeError} If a value does not fit, or the values do not fill whole words.
 *
 * @example
 * ```ts
 * import { packStream, unpackStream } from "./gptq.ts";
 *
 * const values = Uint8Array.from({ length: 32 }, (_, index) => index % 8);
 * const words = packStream(values, 3);
 * // Value 10 is 2, 0b010: its low two bits end the first word, its high bit begins the second.
 * if (words[0]! >>> 30 !== 0b10 || (words[1]! & 1) !== 0) throw new Error("a value straddles");
 * if (unpackStream(words, 3, 32).join() !== values.join()) throw new Error("round trip");
 * ```
 */
export function packStream(values: Uint8Array, bits: GptqBits): Uint32Array<ArrayBuffer> {
  if (values.length * bits % 32 !== 0) {
    throw new RangeError(`${values.length} values of ${bits} bits do not fill whole words`);
  }
  const words = new Uint32Array(values.length * bits / 32);
  for (let index = 0, bit = 0; index < values.length; index++, bit += bits) {
    const value = values[index]!;
    if (value >= 1 << bits) {
      throw new RangeError(`Cannot pack value ${index} into ${bits} bits: it is ${value}`);
    }
    const [word, offset] = [bit >>> 5, bit & 31];
    words[word]! |= value << offset;
    if (offset + bits > 32) words[word + 1]! |= value >>> (32 - offset);
  }
  return words;
}

/** The first `count` values of a stream: the inverse of {@linkcode packStream}. */
export function unpackStream(
  words: Uint32Array,
  bits: GptqBits,
  count: number,
): Uint8Array<ArrayBuffer> {
  const values = new Uint8Array(count);
  const mask = (1 << bits) - 1;
  for (let index = 0, bit = 0; index < count; index++, bit += bits) {
    const [word, offset] = [bit >>> 5, bit & 31];
    let value = words[word]! >>> offset;
    if (offset + bits > 32) value |= words[word + 1]! << (32 - offset);
    values[index] = value & mask;
  }
  return values;
}

/**
 * The groups of a layer's inputs as an order: null where group `k` is of the inputs from
 * `k * groupSize` on; else a permutation of the inputs, those of group 0 first.
 *
 * @throws {UserError} If there is another group, or one has another number of inputs.
 */
export function groupOrder(
  groups: Int32Array,
  groupSize: number,
  layer: string,
): Uint32Array<ArrayBuffer> | null {
  if (groups.every((group, input) => group === Math.floor(input / groupSize))) return null;
  const filled = new Uint32Array(groups.length / groupSize);
  const order = new Uint32Array(groups.length);
  for (let input = 0; input < groups.length; input++) {
    const group = groups[input]!;
    const member = filled[group];
    if (member === undefined || member === groupSize) {
      throw new UserError(
        `${layer}.g_idx puts input ${input} into group ${group}, but there are ${filled.length} ` +
          `groups of ${groupSize} inputs each (0 to ${
            filled.length - 1
          }); the file is damaged, or ` +
          `its group_size is not the one in its configuration`,
      );
    }
    order[group * groupSize + member] = input;
    filled[group] = member + 1;
  }
  return order;
}

/**
 * A weight from the tensors of a checkpoint: the very codes, scales and zero points.
 *
 * @param layer Names the layer in errors.
 * @throws {UserError} If the groups are not of `groupSize` inputs each.
 */
export function fromGptq(
  tensors: GptqTensors,
  { rows, columns, bits, groupSize, format }: GptqShape,
  layer: string,
): HostIntegerWeight | HostOrderedWeight {
  const order = groupOrder(tensors.groups, groupSize, layer);
  const groups = columns / groupSize;
  const stream = transpose(tensors.qweight, tensors.qweight.length / rows, rows);
  const mask = (1 << bits) - 1;
  const stored = unpackStream(tensors.qzeros, bits, groups * rows);
  const zeros = Float32Array.from(stored, (zero) => format === "gptq" ? (zero + 1) & mask : zero);
  const weight = {
    rows,
    columns,
    bits,
    blockRows: 1,
    blockColumns: groupSize,
    scales: transpose(tensors.scales, groups, rows),
    zeros: transpose(zeros, groups, rows),
  };
  if (order === null) {
    // Where no code straddles two words, a row of the stream is a row of packed codes.
    const codes = bits !== 3 && columns % CHUNK === 0
      ? stream
      : packCodes(unpackStream(stream, bits, rows * columns), bits, rows, columns);
    return { format: "integer", ...weight, codes };
  }
  const codes = unpackStream(stream, bits, rows * columns);
  const ordered = new Uint8Array(codes.length);
  for (let start = 0; start < codes.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      ordered[start + column] = codes[start + order[column]!]!;
    }
  }
  return { format: "ordered", ...weight, codes: packCodes(ordered, bits, rows, columns), order };
}

/**
 * The tensors of a weight: the inverse of {@linkcode fromGptq}. Scales are not rounded here; the
 * format stores them as f16.
 *
 * @param layer Names the layer in errors.
 * @throws {UserError} If the format cannot hold the weight: blocks of several outputs, 1-bit codes,
 * sizes that do not fill whole words, zero points that are no codes (a merge makes such), or scales
 * beyond the range of f16.
 */
export function toGptq(
  weight: HostIntegerWeight | HostOrderedWeight,
  format: GptqFormat,
  layer: string,
): GptqTensors {
  const { rows, columns, blockColumns } = weight;
  const groups = columns / blockColumns;
  const bits = checkedBits(weight, layer);
  const codes = unpackCodes(weight.codes, bits, rows, columns);
  const order = weight.format === "ordered"
    ? weight.order
    : Uint32Array.from({ length: columns }, (_, input) => input);
  const inputs = new Uint8Array(codes.length);
  const groupOf = new Int32Array(columns);
  for (let column = 0; column < columns; column++) {
    groupOf[order[column]!] = Math.floor(column / blockColumns);
  }
  for (let start = 0; start < codes.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      inputs[start + order[column]!] = codes[start + column]!;
    }
  }
  const mask = (1 << bits) - 1;
  // Masked: a zero point of 0 is stored as the largest code, not as -1 over all its neighbours.
  const zeros = Uint8Array.from(
    transpose(weight.zeros, rows, groups),
    (zero) => format === "gptq" ? (zero - 1) & mask : zero,
  );
  return {
    qweight: transpose(packStream(inputs, bits), rows, columns * bits / 32),
    qzeros: packStream(zeros, bits),
    scales: transpose(weight.scales, rows, groups),
    groups: groupOf,
  };
}

/** Largest finite f16, and the smallest that is not subnormal. */
const [F16_LARGEST, F16_SMALLEST] = [65504, 2 ** -14];

function checkedBits(
  { rows, columns, bits, blockRows, zeros, scales }: HostIntegerWeight | HostOrderedWeight,
  layer: string,
): GptqBits {
  const refuse = (reason: string): never => {
    throw new UserError(`Cannot write ${layer} as a GPTQ checkpoint: ${reason}`);
  };
  const width = GPTQ_BITS.find((supported) => supported === bits);
  if (width === undefined) {
    return refuse(`its codes have ${bits} bits; wanted one of ${GPTQ_BITS.join(", ")}`);
  }
  if (blockRows !== 1) refuse(`${blockRows} outputs share a scale; quantize with block_rows: 1`);
  if (rows * width % 32 !== 0 || columns * width % 32 !== 0) {
    refuse(`${rows} x ${columns} codes of ${width} bits do not fill whole words of 32 bits`);
  }
  const zero = zeros.find((zero) => !(Number.isInteger(zero) && zero >= 0 && zero < 1 << width));
  if (zero !== undefined) {
    refuse(
      `a zero point is ${zero}, and the format holds whole ones from 0 to ${(1 << width) - 1}; ` +
        `merged zero points need a format with float zeros`,
    );
  }
  const scale = scales.find((scale) => !(scale >= F16_SMALLEST && scale <= F16_LARGEST));
  if (scale !== undefined) {
    refuse(`a scale is ${scale}, beyond what f16 holds precisely (6.1e-5 to 65504)`);
  }
  return width;
}

/**
 * How many words of packed version-1 zero points look damaged by old packers, which stored a zero point
 * of 0 as -1 over all fields after it: words whose upper half is all ones.
 */
export function damagedZeroWords(words: Uint32Array): number {
  return words.reduce((count, word) => count + (word >>> 16 === 0xffff ? 1 : 0), 0);
}

/** `[rows, columns]` to `[columns, rows]`. */
function transpose<Values extends Uint32Array | Float32Array>(
  values: Values,
  rows: number,
  columns: number,
): Values {
  const transposed = new (values.constructor as new (length: number) => Values)(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      transposed[column * rows + row] = values[row * columns + column]!;
    }
  }
  return transposed;
}
