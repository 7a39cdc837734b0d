// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The calibrated problem of an adapter with pools and repeats, reduced to one without.
 *
 * With E = W - Q, the Gram matrix H and delta W = R C Gᵀ as in `pooled_tiles.ts`,
 *
 *     tr((E - R C Gᵀ) H (E - R C Gᵀ)ᵀ) = constant + q tr((C - C*) Hp (C - C*)ᵀ),
 *     Ē = Rᵀ E / q,    Hp = Gᵀ H G,    C* = Ē H G Hp⁻¹:
 *
 * outputs that share a row of C enter only through their mean, and inputs that share a column through
 * their sum. So a method for plain LoRA, given C* and Hp for E and H, is the method for every form.
 * Without pools C* is Ē itself and nothing is solved.
 *
 * @module
 */

import type { AdapterShape } from "../adapters/plan.ts";
import { UserError } from "../errors.ts";
import { cholesky, NotPositiveDefiniteError } from "../linalg/cholesky.ts";
import { copy, type Matrix } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import { solveTriangular } from "../linalg/triangular.ts";
import { inputSums, outputMeans, outputSums } from "./pooled_tiles.ts";

/** Minimize `tr((C - target) gram (C - target)ᵀ)` over what the adapter can represent. */
export interface PooledProblem {
  /** C*, the optimum over all C: `[rows / q, columns / p]`. */
  readonly target: Matrix;
  /** Hp with the ridge that C* was solved with: `[columns / p, columns / p]`. */
  readonly gram: Matrix;
  /** `C* L` with `Hp = L Lᵀ`; null without pools, where Hp was not factored and may be singular. */
  readonly whitened: Matrix | null;
  /** Fallbacks that were needed, for the user. */
  readonly remarks: readonly string[];
}

/**
 * Ridge on Hp, relative to its mean diagonal: it makes C* unique where inputs repeat each other, and
 * changes the error by its square.
 */
const RIDGE = 1e-8;

/** Ridges grow tenfold up to this one. */
const LARGEST_RIDGE = 1e-4;

/**
 * Reduces the problem of a layer.
 *
 * @param error E, `[rows, columns]`.
 * @param gram H, `[columns, columns]`, symmetric.
 * @param layer Names the layer in errors.
 * @throws {UserError} If the pooled Gram matrix is not positive definite even with the largest ridge.
 */
export function reduceProblem(
  error: Matrix,
  gram: Matrix,
  { pool, repeat }: AdapterShape,
  layer: string,
): PooledProblem {
  const means = outputMeans(error, repeat);
  if (pool === 1) return { target: means, gram, whitened: null, remarks: [] };
  const sums = inputSums(gram, pool);
  const pooled = outputSums(sums, pool);
  const correlation = multiply(means, sums);
  const { solution, whitened, damped, ridge } = solveDamped(pooled, correlation, RIDGE, layer);
  return {
    target: solution,
    gram: damped,
    whitened,
    remarks: ridge === RIDGE
      ? []
      : [`its pooled Gram matrix is singular: solved with a ridge of ${ridge}`],
  };
}

/** A system of equations with a symmetric matrix, solved. */
export interface DampedSolution {
  /** `gram` with the ridge. */
  readonly damped: Matrix;
  /** Relative to the mean diagonal. */
  readonly ridge: number;
  /** `right damped⁻¹`. */
  readonly solution: Matrix;
  /** `solution L` with `damped = L Lᵀ`. */
  readonly whitened: Matrix;
}

/**
 * Solves `solution gram = right` with the smallest ridge, from `ridge` on in powers of 10, that makes
 * `gram` positive definite. Sums in f32 leave a singular matrix slightly indefinite, by more than what
 * the first ridge covers; the largest is still too small to be seen in an error.
 *
 * @throws {UserError} If not even the largest ridge does.
 */
export function solveDamped(
  gram: Matrix,
  right: Matrix,
  ridge: number,
  layer: string,
): DampedSolution {
  for (let exponent = Math.round(Math.log10(ridge)); 10 ** exponent <= LARGEST_RIDGE; exponent++) {
    const damped = withRidge(gram, 10 ** exponent);
    const lower = factorIfDefinite(damped);
    if (lower === null) continue;
    const whitened = solveTriangular(lower, right, { side: "right", transpose: true });
    const solution = solveTriangular(lower, whitened, { side: "right" });
    return { damped, ridge: 10 ** exponent, solution, whitened };
  }
  throw new UserError(
    `The Gram matrix of the inputs of ${layer} is not positive semidefinite, as one of real inputs ` +
      `is; check the model and the calibration text for values that are not finite, and calibrate again`,
  );
}

function factorIfDefinite(gram: Matrix): Matrix | null {
  try {
    return cholesky(gram);
  } catch (error) {
    if (error instanceof NotPositiveDefiniteError) return null;
    throw error;
  }
}

/** `gram + ridge * mean(diag(gram)) * I`; a zero matrix becomes the identity. */
export function withRidge(gram: Matrix, ridge: number): Matrix {
  if (ridge === 0) return gram;
  const { rows: size } = gram;
  const damped = copy(gram);
  let trace = 0;
  for (let i = 0; i < size; i++) trace += gram.values[i * (size + 1)]!;
  const added = trace > 0 ? ridge * trace / size : 1;
  for (let i = 0; i < size; i++) damped.values[i * (size + 1)]! += added;
  return damped;
}
