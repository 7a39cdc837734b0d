/**
 * QuAILoRA: alternating calibrated fits of A and B to the quantization error.
 *
 * @module
 */

import { z } from "zod";
import { type Matrix, transpose } from "../linalg/matrix.ts";
import { multiply } from "../linalg/multiply.ts";
import type { Initializer } from "./initializer.ts";
import { type PooledProblem, reduceProblem, solveDamped } from "./pooled_problem.ts";
import { initialized } from "./pooled_result.ts";
import { nearestUpdate } from "./pooled_svd.ts";
import { quantizationError, type TileUpdate } from "./pooled_tiles.ts";
import { gramOf, originalOf, requirePair } from "./requirements.ts";

const parameters = z.strictObject({
  method: z.literal("quailora"),
  rounds: z.int().positive().default(20)
    .describe("Updates of each of A and B; every one lowers the calibrated error."),
});

/** Parameters of {@linkcode quailora}. */
export type QuailoraParameters = z.output<typeof parameters>;

/** An update that is a product of two factors. */
export interface Factors extends TileUpdate {
  /** `[rank, columns / p]`. */
  readonly right: Matrix;
}

/**
 * Lawton et al. 2024, "QuAILoRA" (arXiv 2410.14713), section 3: from the truncated singular value
 * decomposition of E = W - Q, each factor in turn is the least-squares solution given the other. The
 * base stays as it is, and of the inputs only their Gram matrix is kept.
 *
 * Its rounds are power iterations on E H Eᵀ, so they approach what `cloq` computes at once. With pools
 * they alternate on the reduced problem, from the nearest update that the form can be.
 */
export const quailora: Initializer<QuailoraParameters> = {
  name: "quailora",
  summary: "alternating calibrated solves for A and B from the SVD of W - Q (QuAILoRA)",
  parameters,
  needsOriginal: true,
  calibration: () => ({ gram: true, sample: false }),
  initialize(layer, { rounds }) {
    requirePair(layer, "quailora", "it alternates between the two factors of a product");
    const gram = gramOf(layer, "quailora");
    const error = quantizationError(originalOf(layer, "quailora"), layer.base);
    const { path } = layer.linear;
    const problem = reduceProblem(error, gram, layer.shape, path);
    const { left, right } = nearestUpdate(error, layer.shape);
    if (right === null) throw new RangeError("An adapter with a pair has two factors");
    let factors: Factors = { left, right };
    if (left.columns > 0) {
      for (let round = 0; round < rounds; round++) {
        factors = solveRight(problem, solveLeft(problem, factors, path), path);
      }
    }
    const { remarks } = problem;
    return initialized(layer, { update: factors, base: layer.base, remarks });
  },
};

/**
 * Of the squares of the factors, relative to their mean diagonal: directions that the calibration text
 * does not have make them singular, and what they are solved with there is of no consequence.
 */
const RIDGE = 1e-12;

/** `left ← C* Hp rightᵀ (right Hp rightᵀ)⁻¹`. */
export function solveLeft(problem: PooledProblem, { right }: Factors, layer: string): Factors {
  const through = multiply(problem.gram, right, { transposeRight: true });
  const square = multiply(right, through);
  const correlation = multiply(problem.target, through);
  return { left: solveDamped(square, correlation, RIDGE, layer).solution, right };
}

/** `right ← (leftᵀ left)⁻¹ leftᵀ C*`: the calibration cancels out. */
export function solveRight(problem: PooledProblem, { left }: Factors, layer: string): Factors {
  const square = multiply(left, left, { transposeLeft: true });
  const correlation = multiply(problem.target, left, { transposeLeft: true });
  return { left, right: transpose(solveDamped(square, correlation, RIDGE, layer).solution) };
}
