// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * What GPTQ needs of the Hessian of a layer's squared output error, the Gram matrix of its inputs:
 * the order of columns, damping, and the Cholesky factor of the inverse.
 *
 * @module
 */

import { diagonalOf } from "../calibration/check_gram.ts";
import { UserError } from "../errors.ts";
import { cholesky, NotPositiveDefiniteError } from "../linalg/cholesky.ts";
import { type Matrix, matrix } from "../linalg/matrix.ts";
import { invertTriangular } from "../linalg/triangular.ts";

/** The Hessian as GPTQ's loop over columns uses it. */
export interface HessianFactor {
  /** `[columns, columns]`: `U` with `(H + damping)^-1 = U^T U`, upper triangular. */
  readonly upper: Matrix;
  /** The damping that made `H` positive definite, relative to the mean of its diagonal. */
  readonly damping: number;
}

/** By how much damping rises when it does not make the matrix positive definite (GPTQModel). */
const DAMPING_STEP = 0.01;

/** More than the mean of the diagonal is not damping any more but another matrix. */
const DAMPING_LIMIT = 1;

/** Inputs that are 0 on all calibration text. */
function deadInputs(gram: Matrix): number[] {
  return Array.from(diagonalOf(gram).entries())
    .filter(([, value]) => value === 0).map(([index]) => index);
}

/** Sets the weights of dead inputs, which reach no output, to 0, so that they move no grid. */
export function clearDeadInputs(weights: Matrix, gram: Matrix): void {
  for (const column of deadInputs(gram)) {
    for (let row = 0; row < weights.rows; row++) weights.values[row * weights.columns + column] = 0;
  }
}

/** Says that a layer needed more damping than was asked for; nothing if it did not. */
export function reportDamping(
  used: number,
  asked: number,
  layer: string,
  log?: (line: string) => void,
): void {
  if (used <= asked) return;
  log?.(
    `${layer}: its Gram matrix is not positive definite with a damping of ${asked}; ` +
      `it was raised to ${Number(used.toFixed(4))}`,
  );
}

/** Inputs by decreasing mean square; equal ones stay in order, so that dead ones are last. */
export function activationOrder(gram: Matrix): Uint32Array {
  const diagonal = diagonalOf(gram);
  return Uint32Array.from(diagonal.keys()).sort((a, b) => diagonal[b]! - diagonal[a]! || a - b);
}

/**
 * Factors the inverse of the damped Hessian, its rows and columns taken in `order`.
 *
 * The mean of the diagonal, which damping is relative to, is that of live inputs; dead ones get it
 * as their own diagonal element, where the released code puts 1: either way they touch no other
 * column, and this way a Hessian in other units gives the same codes.
 *
 * Where rounding has left the matrix indefinite, damping rises by 0.01 until it is not, as in
 * GPTQModel.
 *
 * @param damping Added to the diagonal, relative to its mean.
 * @throws {UserError} If the matrix is so far from positive definite that it is no Gram matrix.
 */
export function factorInverse(
  gram: Matrix,
  order: Uint32Array | null,
  damping: number,
  layer: string,
): HessianFactor {
  const live = diagonalOf(gram).filter((value) => value > 0);
  const mean = live.reduce((sum, value) => sum + value, 0) / live.length;
  for (let step = 0; damping + step * DAMPING_STEP < DAMPING_LIMIT; step++) {
    const raised = damping + step * DAMPING_STEP;
    try {
      return { upper: factor(gram, order, mean, raised), damping: raised };
    } catch (error) {
      if (!(error instanceof NotPositiveDefiniteError)) throw error;
    }
  }
  throw new UserError(
    `Cannot quantize ${layer}: its Gram matrix is not positive definite even with a damping of ` +
      `${DAMPING_LIMIT}, which no Gram matrix is; calibrate again`,
  );
}

/**
 * `U` for one damping. The released code inverts `H` and factors the inverse. Here `H` is factored
 * from its last row up, `H = R R^T` with `R` upper triangular, so that `U = R^-1`, which is unique:
 * half the work, and no rounding of an inverse in between. Reversing all values of a square matrix
 * reverses its rows and columns, which turns this into a lower factorization and back.
 */
function factor(
  gram: Matrix,
  order: Uint32Array | null,
  mean: number,
  damping: number,
): Matrix {
  const size = gram.rows;
  const damped = matrix(size, size);
  for (let row = 0; row < size; row++) {
    const from = (order === null ? row : order[row]!) * size;
    const to = row * size;
    for (let column = 0; column <= row; column++) {
      // The lower triangle, into the upper one: reversed, that is the lower one again.
      damped.values[column * size + row] = gram
        .values[from + (order === null ? column : order[column]!)]!;
    }
    const diagonal = damped.values[to + row]!;
    damped.values[to + row] = (diagonal === 0 ? mean : diagonal) + damping * mean;
  }
  damped.values.reverse();
  const upper = invertTriangular(cholesky(damped));
  upper.values.reverse();
  return upper;
}
