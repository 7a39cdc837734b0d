// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Bringing matrices into a range in which squares of their elements neither overflow nor vanish.
 *
 * @module
 */

import { type Matrix, matrix } from "./matrix.ts";

/** A matrix as `factor * scaled`. */
export interface Scaled {
  /** Largest magnitude in [1, 2), or 0. */
  readonly scaled: Matrix;
  /** A power of two, so that scaling rounds nothing. */
  readonly factor: number;
}

/**
 * Divides a matrix by the power of two that brings its largest magnitude into [1, 2); zeros stay.
 *
 * @throws {RangeError} if an element is not finite.
 */
export function scaleToOne(source: Matrix): Scaled {
  const { rows, columns, values } = source;
  let largest = 0;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]!);
    if (!(magnitude <= Number.MAX_VALUE)) {
      const place = `(${Math.floor(i / columns)}, ${i % columns})`;
      throw new RangeError(
        `Element ${place} of a matrix [${rows}, ${columns}] is ${values[i]}, not a finite number.`,
      );
    }
    if (magnitude > largest) largest = magnitude;
  }
  const factor = largest === 0 ? 1 : 2 ** Math.floor(Math.log2(largest));
  if (factor === 1) return { scaled: source, factor };
  return { scaled: matrix(rows, columns, values.map((value) => value / factor)), factor };
}
