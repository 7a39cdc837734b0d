// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * MagR (Zhang et al. 2024): weights with a smaller range and nearly the same outputs, so that a
 * quantizer's steps become smaller. For each layer it minimizes
 *
 *     1/2 tr((V - W) G (V - W)^T) + alpha sum_blocks max |V_block|,    G = H / lambda_max(H),
 *
 * by proximal gradient steps of size 1, where a block is what shares a scale in the quantizer: a row,
 * a group of inputs, or a 2-D block. The released code takes the inputs of H from the last calibration
 * text only; here H is the Gram matrix of all.
 *
 * @module
 */

import { z } from "zod";
import { NF4_BLOCK } from "../../kernels/device.ts";
import { checkGram } from "../calibration/check_gram.ts";
import { GramSlab, SLAB_ROWS } from "../calibration/gram_slab.ts";
import { UserError } from "../errors.ts";
import { copy, fromFloat32, type Matrix, matrix } from "../linalg/matrix.ts";
import { leadingEigenvectors } from "../linalg/truncated_svd.ts";
import type { ModuleFormat } from "../models/quantized_tensors.ts";
import { checkDivides, checkWeights } from "../quantizers/quantizer.ts";
import { clipLevel } from "./clip_level.ts";
import type { Preprocessor } from "./preprocessor.ts";

const parameters = z.strictObject({
  method: z.literal("magr"),
  alpha: z.number().min(0).optional()
    .describe(
      "Weight of the range against the error of the outputs, whose Gram matrix has the largest " +
        "eigenvalue 1; by default 0.001 where rows are quantized whole and 0.0001 for blocks.",
    ),
  iterations: z.int().min(0).default(200).describe("Proximal gradient steps."),
  accelerate: z.boolean().default(false)
    .describe("Nesterov's momentum: 40 steps get as far as 200 without."),
});

/** Parameters of {@linkcode magr}. */
export type MagrParameters = z.output<typeof parameters>;

/** Weights with a smaller range and nearly the same outputs. */
export const magr: Preprocessor<MagrParameters> = {
  name: "magr",
  summary: "MagR: reduce the range of weights while keeping the outputs of each layer",
  parameters,
  calibration: () => ({ gram: true, sample: false }),
  async preprocess(weights, { path, rows, columns, format, calibration }, options) {
    if (calibration === undefined) throw new RangeError(`${path} comes without calibration`);
    const { inputs: { gram }, device } = calibration;
    checkWeights(weights, rows, columns, path);
    checkGram(gram, columns, path);
    const blocks = blocksOf(format, columns, path);
    checkDivides(blocks.columns, columns, "the quantizer's group_size", "inputs", path);
    checkDivides(blocks.rows, rows, "the quantizer's block_rows", "outputs", path);
    const { iterations, accelerate, alpha = blocks.columns === columns ? 1e-3 : 1e-4 } = options;
    const scale = 1 / leadingEigenvectors(gram, 1).values[0]!;
    const reduction = { blocks, alpha, iterations, accelerate, scale };
    // Rows only meet within a block.
    const height = Math.min(rows, Math.ceil(SLAB_ROWS / blocks.rows) * blocks.rows);
    using slab = new GramSlab(device, height, columns);
    slab.write(gram);
    const multiply: GramProduct = async (change) => {
      slab.multiply(change.values);
      return await device.readFloats(slab.product);
    };
    const reduced = new Float32Array(weights.length);
    for (let start = 0; start < weights.length; start += height * columns) {
      const part = weights.subarray(start, start + height * columns);
      const original = fromFloat32(part, part.length / columns, columns);
      reduced.set((await reduceMagnitude(original, multiply, reduction)).values, start);
    }
    return reduced;
  },
};

/** Rows and columns of the blocks that share a range. */
export interface BlockShape {
  /** Outputs of a block. */
  readonly rows: number;
  /** Inputs of a block. */
  readonly columns: number;
}

function blocksOf(format: ModuleFormat | null, columns: number, layer: string): BlockShape {
  if (format === null) return { rows: 1, columns };
  switch (format.format) {
    case "nf4":
      return { rows: 1, columns: NF4_BLOCK };
    case "ordered":
      throw new UserError(
        `MagR cannot reduce the range of groups that GPTQ only forms while it quantizes ${layer}; ` +
          `give the quantizer static_groups: true with act_order`,
      );
    case "integer":
      return { rows: format.block_rows, columns: format.group_size };
    default:
      return { rows: 1, columns: format.group_size };
  }
}

/** How {@linkcode reduceMagnitude} minimizes what. */
export interface Reduction {
  /** Weights whose largest magnitude counts: a row, a group, a 2-D block. */
  readonly blocks: BlockShape;
  /** Weight of the sum of ranges, relative to the largest eigenvalue of the Gram matrix. */
  readonly alpha: number;
  /** Proximal gradient steps. */
  readonly iterations: number;
  /** Whether each step starts where momentum has carried the weights. */
  readonly accelerate: boolean;
  /** The inverse of the Gram matrix's largest eigenvalue. */
  readonly scale: number;
}

/** A change of the weights times the Gram matrix; rows beyond those of the change are ignored. */
export type GramProduct = (change: Matrix) => Promise<Float32Array | Float64Array>;

/**
 * Moves `weights [rows, columns]` towards a smaller range.
 */
export async function reduceMagnitude(
  weights: Matrix,
  multiply: GramProduct,
  { blocks, alpha, iterations, accelerate, scale }: Reduction,
): Promise<Matrix> {
  const change = matrix(weights.rows, weights.columns);
  let current = copy(weights);
  let next = copy(weights);
  let momentum = 1;
  for (let iteration = 0; iteration < iterations; iteration++) {
    // `next` is where the gradient is taken, and then the weights after the step.
    for (let index = 0; index < change.values.length; index++) {
      change.values[index] = next.values[index]! - weights.values[index]!;
    }
    const product = await multiply(change);
    for (let index = 0; index < change.values.length; index++) {
      next.values[index]! -= scale * product[index]!;
    }
    clipBlocks(next, blocks, alpha);
    [current, next] = [next, current];
    // FISTA (Beck and Teboulle 2009, equations 4.2 and 4.3).
    const grown = (1 + Math.sqrt(1 + 4 * momentum ** 2)) / 2;
    const factor = accelerate ? (momentum - 1) / grown : 0;
    momentum = grown;
    for (let index = 0; index < next.values.length; index++) {
      const value = current.values[index]!;
      next.values[index] = value + factor * (value - next.values[index]!);
    }
  }
  return current;
}

/** The proximal step: clips every block at its own level. */
function clipBlocks(weights: Matrix, blocks: BlockShape, alpha: number): void {
  const values = new Float64Array(blocks.rows * blocks.columns);
  for (let row = 0; row < weights.rows; row += blocks.rows) {
    for (let column = 0; column < weights.columns; column += blocks.columns) {
      for (let line = 0; line < blocks.rows; line++) {
        const start = (row + line) * weights.columns + column;
        values.set(weights.values.subarray(start, start + blocks.columns), line * blocks.columns);
      }
      const level = clipLevel(values, alpha);
      for (let line = 0; line < blocks.rows; line++) {
        const start = (row + line) * weights.columns + column;
        for (let index = start; index < start + blocks.columns; index++) {
          const value = weights.values[index]!;
          weights.values[index] = Math.min(Math.max(value, -level), level);
        }
      }
    }
  }
}
