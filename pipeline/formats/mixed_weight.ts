// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Integer weights whose column groups have codes of different width, as SliM-LLM (Huang et al. 2025)
 * allocates them: as many groups one bit narrower as there are one bit wider, so that the mean is
 * exact and the size of a weight does not depend on its values.
 *
 * @module
 */

/** Mean width of a code; groups have one bit less, exactly this, or one bit more. */
export type MixedBits = 2 | 3 | 4;

/**
 * Integer codes in groups of `blockColumns` inputs, each group of columns with a width of its own for
 * all rows: `w = scale * (code - zero)`, one scale and one float zero per row and group.
 */
export interface HostMixedWeight {
  /** Tells the formats apart. */
  readonly format: "mixed";
  /** Output features. */
  readonly rows: number;
  /** Input features. */
  readonly columns: number;
  /** Mean width of a code. */
  readonly bits: MixedBits;
  /** Outputs that share a scale. */
  readonly blockRows: 1;
  /** Inputs of a group: a multiple of 8 that divides `columns`. */
  readonly blockColumns: number;
  /** `[columns / blockColumns]`: `bits - 1`, `bits` or `bits + 1`, their mean `bits`. */
  readonly widths: Uint8Array;
  /** `[rows, columns * bits / 8]`, packed by {@linkcode packMixedCodes}. */
  readonly codes: Uint8Array;
  /** `[rows, columns / blockColumns]`. */
  readonly scales: Float32Array;
  /** `[rows, columns / blockColumns]`. */
  readonly zeros: Float32Array;
}

/** Whether groups of these widths take `bits` bits per code on average, none far from it. */
export function widthsFit(widths: Uint8Array, bits: MixedBits): boolean {
  return widths.every((width) => Math.abs(width - bits) <= 1) &&
    widths.reduce((sum, width) => sum + width, 0) === widths.length * bits;
}

/**
 * Packs codes `[rows, widths.length * groupSize]`, one byte each. A row is the codes of its groups in
 * order, every code as wide as its group, lowest bit first, without a gap.
 *
 * @throws {RangeError} If a group does not fill whole bytes or a code does not fit its width.
 *
 * @example
 * ```ts
 * import { packMixedCodes, unpackMixedCodes } from "./mixed_weight.ts";
 *
 * const codes = Uint8Array.from({ length: 16 }, (_, column) => column < 8 ? column % 2 : column - 8);
 * const bytes = packMixedCodes(codes, Uint8Array.of(1, 3), 1, 8);
 * if (bytes.length !== 4 || bytes[0] !== 0b10101010) throw new Error("8 + 24 bits");
 * if (unpackMixedCodes(bytes, Uint8Array.of(1, 3), 1, 8).join() !== codes.join()) {
 *   throw new Error("round trip");
 * }
 * ```
 */
export function packMixedCodes(
  codes: Uint8Array,
  widths: Uint8Array,
  rows: number,
  groupSize: number,
): Uint8Array {
  const bytes = new Uint8Array(rows * rowBytes(widths, groupSize));
  visitCodes(widths, rows, groupSize, (index, width, bit) => {
    const code = codes[index]!;
    if (code >= 1 << width) {
      throw new RangeError(`Cannot pack code ${index} into ${width} bits: it is ${code}`);
    }
    const at = bit >>> 3;
    const shifted = code << (bit & 7);
    bytes[at]! |= shifted;
    // A group ends with a byte, so a code that reaches beyond one has another byte behind it.
    if (shifted > 0xff) bytes[at + 1]! |= shifted >>> 8;
  });
  return bytes;
}

/** The inverse of {@linkcode packMixedCodes}. */
export function unpackMixedCodes(
  bytes: Uint8Array,
  widths: Uint8Array,
  rows: number,
  groupSize: number,
): Uint8Array {
  const codes = new Uint8Array(rows * widths.length * groupSize);
  visitCodes(widths, rows, groupSize, (index, width, bit) => {
    const at = bit >>> 3;
    const pair = bytes[at]! | (bytes[at + 1] ?? 0) << 8;
    codes[index] = pair >>> (bit & 7) & ((1 << width) - 1);
  });
  return codes;
}

function rowBytes(widths: Uint8Array, groupSize: number): number {
  if (groupSize % 8 !== 0) {
    throw new RangeError(`Groups of ${groupSize} codes do not fill whole bytes at every width`);
  }
  return widths.reduce((sum, width) => sum + width, 0) * groupSize / 8;
}

/** Calls `visit` with the index of every code, its width, and the bit at which it starts. */
function visitCodes(
  widths: Uint8Array,
  rows: number,
  groupSize: number,
  visit: (index: number, width: number, bit: number) => void,
): void {
  let index = 0;
  let bit = 0;
  for (let row = 0; row < rows; row++) {
    for (const width of widths) {
      for (let column = 0; column < groupSize; column++) {
        visit(index++, width, bit);
        bit += width;
      }
    }
  }
}

/** The matrix `[rows, columns]` that a weight stands for, each value rounded once to f32. */
export function dequantizeMixed(weight: HostMixedWeight): Float32Array {
  const { rows, columns, blockColumns, widths, scales, zeros } = weight;
  const codes = unpackMixedCodes(weight.codes, widths, rows, blockColumns);
  const values = new Float32Array(rows * columns);
  for (let index = 0; index < values.length; index++) {
    // Groups divide rows, so counting them row by row is counting along the codes.
    const group = Math.floor(index / blockColumns);
    values[index] = scales[group]! * (codes[index]! - zeros[group]!);
  }
  return values;
}
