// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The two 16-bit float formats as raw bits: IEEE binary16 ("F16") through the built-in
 * `Float16Array`, and bfloat16 ("BF16"), the upper half of a binary32. All roundings are to nearest,
 * ties to even.
 *
 * @module
 */

/** Binary32 values of bfloat16 bits, in `values`; exact. */
export function bfloat16ToFloat32<Buffer extends ArrayBufferLike = ArrayBuffer>(
  bits: Uint16Array,
  values: Float32Array<Buffer> = new Float32Array(bits.length) as Float32Array<Buffer>,
): Float32Array<Buffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, bits.length);
  for (let i = 0; i < bits.length; i++) words[i] = bits[i]! << 16;
  return values;
}

/**
 * Nearest bfloat16 bits of binary32 values. Values beyond the largest finite bfloat16 become
 * infinite; a NaN stays a (quiet) NaN with its sign.
 *
 * @example
 * ```ts
 * import { float32ToBfloat16 } from "./half_precision.ts";
 *
 * const bits = float32ToBfloat16(Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8));
 * if (bits.join() !== [0x3f80, 0x3f80, 0x3f82].join()) throw new Error("ties go to even");
 * ```
 */
export function float32ToBfloat16(
  values: Float32Array,
  bits: Uint16Array<ArrayBuffer> = new Uint16Array(values.length),
): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    bits[i] = (word & 0x7fffffff) > 0x7f800000
      ? (word >>> 16) | 0x40 // without the quiet bit, a NaN with low payload would round to infinity
      : (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
  }
  return bits;
}

/** Binary32 values of binary16 bits, in `values`; exact. */
export function float16ToFloat32<Buffer extends ArrayBufferLike = ArrayBuffer>(
  bits: Uint16Array,
  values: Float32Array<Buffer> = new Float32Array(bits.length) as Float32Array<Buffer>,
): Float32Array<Buffer> {
  values.set(new Float16Array(bits.buffer, bits.byteOffset, bits.length));
  return values;
}

/** Nearest binary16 bits of binary32 values. Values that round beyond 65504 become infinite. */
export function float32ToFloat16(
  values: Float32Array,
  bits: Uint16Array<ArrayBuffer> = new Uint16Array(values.length),
): Uint16Array<ArrayBuffer> {
  new Float16Array(bits.buffer, bits.byteOffset, bits.length).set(values);
  return bits;
}
