// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Sums over runs of numbers in memory. A vector is an array and the place of its first element.
 *
 * @module
 */

/** The inner product of two vectors; four partial sums, in a fixed order. */
export function dot(
  x: Float64Array,
  xStart: number,
  y: Float64Array,
  yStart: number,
  count: number,
): number {
  let [s0, s1, s2, s3] = [0, 0, 0, 0];
  const whole = count - count % 4;
  for (let i = 0; i < whole; i += 4) {
    s0 += x[xStart + i]! * y[yStart + i]!;
    s1 += x[xStart + i + 1]! * y[yStart + i + 1]!;
    s2 += x[xStart + i + 2]! * y[yStart + i + 2]!;
    s3 += x[xStart + i + 3]! * y[yStart + i + 3]!;
  }
  for (let i = whole; i < count; i++) s0 += x[xStart + i]! * y[yStart + i]!;
  return s0 + s1 + (s2 + s3);
}

/** `y += factor * x`. */
export function addMultiple(
  y: Float64Array,
  yStart: number,
  factor: number,
  x: Float64Array,
  xStart: number,
  count: number,
): void {
  for (let i = 0; i < count; i++) y[yStart + i]! += factor * x[xStart + i]!;
}

/** `x *= factor`. */
export function scaleVector(x: Float64Array, start: number, factor: number, count: number): void {
  for (let i = start; i < start + count; i++) x[i]! *= factor;
}

/** Rotates two vectors: `(x, y)` becomes `(c x - s y, s x + c y)`. */
export function rotate(
  values: Float64Array,
  xStart: number,
  yStart: number,
  c: number,
  s: number,
  count: number,
  stride = 1,
): void {
  for (let i = 0; i < count * stride; i += stride) {
    const x = values[xStart + i]!;
    const y = values[yStart + i]!;
    values[xStart + i] = c * x - s * y;
    values[yStart + i] = s * x + c * y;
  }
}
