// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Whether a matrix can be the Gram matrix of a layer's inputs.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { Matrix } from "../linalg/matrix.ts";

/**
 * Refuses what is not the Gram matrix of any inputs.
 *
 * @throws {UserError} If an element is not finite, a diagonal element is negative or all are 0.
 * @throws {RangeError} If the matrix is not `[columns, columns]`.
 */
export function checkGram(gram: Matrix, columns: number, layer: string): void {
  if (gram.rows !== columns || gram.columns !== columns) {
    throw new RangeError(
      `The Gram matrix of ${layer} is [${gram.rows}, ${gram.columns}]; it has ${columns} inputs`,
    );
  }
  const bad = gram.values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new UserError(
      `Cannot calibrate ${layer}: the product of its inputs ${Math.floor(bad / columns)} and ` +
        `${bad % columns} on calibration text is ${gram.values[bad]}; check that the model gives ` +
        `finite activations, or choose another calibration text`,
    );
  }
  const diagonal = diagonalOf(gram);
  const negative = diagonal.findIndex((value) => value < 0);
  if (negative >= 0) {
    throw new UserError(
      `Cannot calibrate ${layer}: the mean square of its input ${negative} is ` +
        `${diagonal[negative]}, which no inputs have; calibrate again`,
    );
  }
  if (diagonal.every((value) => value === 0)) {
    throw new UserError(
      `Cannot calibrate ${layer}: all its inputs are 0 on calibration text; check the model, or ` +
        `choose another calibration text`,
    );
  }
}

/** The diagonal of a square matrix: of a Gram matrix, the mean squares of inputs. */
export function diagonalOf(gram: Matrix): Float64Array {
  return Float64Array.from(
    { length: gram.rows },
    (_, index) => gram.values[index * (gram.columns + 1)]!,
  );
}
