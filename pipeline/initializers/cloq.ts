/**
 * CLoQ: the adapter that best corrects a quantized weight on calibration text, in closed form.
 *
 * @module
 */

import { z } from "zod";
import type { AdapterShape } from "../adapters/plan.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { Matrix } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import { leadingEigenvectors, truncatedSvd } from "../linalg/truncated_svd.ts";
import type { Initializer } from "./initializer.ts";
import { calibratedNorm, changeOfNorm } from "./pooled_error.ts";
import { leadingColumns, significant, splitWeights } from "./pooled_factors.ts";
import { type PooledProblem, reduceProblem, withRidge } from "./pooled_problem.ts";
import { initialized } from "./pooled_result.ts";
import type { SvdUpdate } from "./pooled_svd.ts";
import { quantizationError, withoutUpdate } from "./pooled_tiles.ts";
import { gramOf, originalOf, requantizerOf } from "./requirements.ts";

const parameters = z.strictObject({
  method: z.literal("cloq"),
  iterations: z.int().positive().default(1).describe(
    "Above 1: quantize W - BA again and solve again, and keep the pair of least calibrated error.",
  ),
  split: z.enum(["sigma_on_a", "sqrt", "sigma_on_b"]).default("sigma_on_a")
    .describe("Which factor has the singular values; the product is the same."),
  ridge: z.number().nonnegative().default(0)
    .describe("Added to the Gram matrix, relative to its mean diagonal; others use 1e-4 or 1e-2."),
});

/** Parameters of {@linkcode cloq}. */
export type CloqParameters = z.output<typeof parameters>;

/**
 * Deng et al. 2025, "CLoQ" (arXiv 2501.18475): with E = W - Q, the product D of rank r that minimizes
 * `tr((E - D) H (E - D)ᵀ)`. Their theorem is written with a root of H and its inverse; the same D is
 * `P Pᵀ E` with P the r leading eigenvectors of `E H Eᵀ`, which needs neither and holds for a singular
 * H too. With pools it is the same on the reduced problem (reduced-rank regression), and for QA-HiRA,
 * which has no rank, the optimum C* itself.
 *
 * With iterations the base is quantized again without the adapter, as LoftQ does in the Frobenius norm.
 * Quantization is no projection in the calibrated norm, so the error may rise: the best pair is kept.
 */
export const cloq: Initializer<CloqParameters> = {
  name: "cloq",
  summary: "closed-form calibrated optimum for W - Q; iterated, a calibrated LoftQ (CLoQ)",
  parameters,
  needsOriginal: true,
  calibration: () => ({ gram: true, sample: false }),
  initialize(layer, { iterations, split, ridge }) {
    const { linear: { path }, shape } = layer;
    const gram = gramOf(layer, "cloq");
    const weights = originalOf(layer, "cloq");
    const damped = withRidge(gram, ridge);
    const solve = (base: HostWeight) => {
      const error = quantizationError(weights, base);
      const { update, remarks } = solveUpdate(error, damped, shape, path);
      const norm = iterations === 1
        ? 0 // nothing to compare with
        : calibratedNorm(error, gram) + changeOfNorm(error, gram, update, shape);
      return { base, update, remarks, norm };
    };
    let last = solve(layer.base);
    let best = last;
    for (let iteration = 1; iteration < iterations; iteration++) {
      const rest = withoutUpdate(weights, last.update, shape);
      last = solve(requantizerOf(layer, "cloq")(rest));
      if (last.norm < best.norm) best = last;
    }
    const { base, update, remarks } = best;
    const factors = splitWeights(update.singularValues, split, shape.scale / shape.pool);
    return initialized(layer, { update, weights: factors, base, remarks });
  },
};

/** Singular values below this share of the largest are rounding: their squares were computed. */
const THRESHOLD = 1e-7;

/**
 * The best update for an error, with the singular values σ of `C* Hp^{1/2}` that it keeps: it takes q
 * times the sum of their squares from the squared calibrated error.
 *
 * @example The larger error is not the one that matters
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "../linalg/matrix.ts";
 * import { solveUpdate } from "./cloq.ts";
 * import { productOf } from "./pooled_tiles.ts";
 *
 * const shape = { pool: 1, repeat: 1, rank: 1, scale: 1, a: [1, 2], b: [2, 1] } as const;
 * const error = matrix(2, 2, Float64Array.of(1, 0, 0, 2));
 * const gram = matrix(2, 2, Float64Array.of(100, 0, 0, 1));
 * const { update } = solveUpdate(error, gram, shape, "layer");
 * assert.deepEqual([...productOf(update).values].map(Math.abs), [1, 0, 0, 0]);
 * ```
 */
export function solveUpdate(
  error: Matrix,
  gram: Matrix,
  shape: AdapterShape,
  layer: string,
): { readonly update: SvdUpdate; readonly remarks: readonly string[] } {
  const problem = reduceProblem(error, gram, shape, layer);
  const { target, remarks } = problem;
  if (shape.a === null) {
    return { update: { left: target, right: null, singularValues: new Float64Array() }, remarks };
  }
  const { vectors, singularValues } = leadingDirections(
    problem,
    Math.min(shape.rank, target.rows, target.columns),
  );
  const kept = singularValues.subarray(0, significant(singularValues, THRESHOLD));
  const left = leadingColumns(vectors, kept.length);
  const right = multiply(left, target, { transposeLeft: true });
  return { update: { left, right, singularValues: kept }, remarks };
}

/** Leading left singular vectors, in columns, and singular values of `C* Hp^{1/2}`. */
function leadingDirections({ target, gram, whitened }: PooledProblem, rank: number) {
  if (whitened !== null) {
    const { u, singularValues } = truncatedSvd(whitened, rank);
    return { vectors: u, singularValues };
  }
  const { values, vectors } = leadingEigenvectors({
    size: target.rows,
    // Products with a few vectors: E H Eᵀ as a matrix would cost as much as with hundreds of them.
    apply: (rows) =>
      multiply(multiply(multiply(rows, target), gram), target, { transposeRight: true }),
  }, rank);
  return { vectors, singularValues: values.map((value) => Math.sqrt(Math.max(0, value))) };
}
