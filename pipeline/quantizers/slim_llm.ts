// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * SliM-LLM (Huang et al. 2025): GPTQ whose groups of columns have one bit less, the mean number, or one
 * bit more, by the salience of their weights, and whose scales are searched with salient weights
 * counting more.
 *
 * @module
 */

import { z } from "zod";
import { checkGram } from "../calibration/check_gram.ts";
import { UserError } from "../errors.ts";
import { type HostMixedWeight, packMixedCodes } from "../formats/mixed_weight.ts";
import { block, fromFloat32, type Matrix } from "../linalg/matrix.ts";
import { roundBlock } from "./column_block.ts";
import { clearDeadInputs, factorInverse, reportDamping } from "./gptq_hessian.ts";
import { checkDivides, checkWeights, type Quantizer } from "./quantizer.ts";
import { allocateWidths, groupSalience } from "./slim_llm_allocation.ts";
import { encodeWidth, fitRows, searchScales } from "./slim_llm_grid.ts";
import { salientWeights } from "./slim_llm_salience.ts";

const parameters = z.strictObject({
  method: z.literal("slim-llm"),
  bits: z.union([z.literal(2), z.literal(3), z.literal(4)]).default(2)
    .describe("Mean width of a code; groups have one bit less, this many, or one more."),
  group_size: z.int().positive().multipleOf(8).default(32)
    .describe("Consecutive inputs with one width; divides every layer's inputs."),
  objective: z.enum(["kl", "reverse-kl", "mse"]).default("kl")
    .describe(
      "What the allocation minimizes on the layer's outputs: KL(true || quantized) as in the paper, " +
        "KL(quantized || true) as in the released code, or the squared error.",
    ),
  pairs: z.enum(["paper", "code"]).default("paper")
    .describe(
      "How many groups may lose a bit, and as many gain one: paper: none to half of all; " +
        "code: one to one less than half.",
    ),
  one_bit: z.enum(["centered", "code", "paper"]).default("centered")
    .describe(
      "The two levels of groups of one bit: mean +- mean |w - mean|; code: mean +- mean |w|; " +
        "paper: +- mean |w|.",
    ),
  salient: z.enum(["salience", "weights"]).default("salience")
    .describe(
      "Salient weights: 2 standard deviations in w^2 / U_jj^2 (the released code), or 3 in w " +
        "(the paper).",
    ),
  salient_weight: z.number().positive().default(1)
    .describe(
      "How much more errors of salient weights count in the search for scales; at 1, as published, " +
        "all errors count alike.",
    ),
  exponent: z.number().positive().default(2.4)
    .describe("Errors count as |w - q|^exponent: 2.4 in the released code, 2 in the paper."),
  damping: z.number().min(0).lt(1).default(0.01)
    .describe("Added to the Gram matrix's diagonal, relative to the mean of the diagonal."),
});

/** Parameters of {@linkcode slimLlm}. */
export type SlimLlmParameters = z.output<typeof parameters>;

/** GPTQ with mixed widths: see the module documentation. */
export const slimLlm: Quantizer<SlimLlmParameters> = {
  name: "slim-llm",
  summary: "SliM-LLM: GPTQ whose groups get bits by salience, the mean number of bits exact",
  parameters,
  describe({ bits, group_size }) {
    return `SliM-LLM INT${bits} (${bits - 1} to ${bits + 1}), blocks 1x${group_size}, ` +
      `${Number((bits + 64 / group_size).toFixed(3))} bits per weight`;
  },
  format: ({ bits, group_size }) => ({ format: "mixed", bits, group_size }),
  calibration: () => ({ gram: true, sample: true }),
  parameterBits: (_, { bits }) => bits,
  quantize(weights, rows, columns, options, layer, calibration, log): HostMixedWeight {
    if (calibration === undefined) throw new RangeError(`${layer} comes without calibration`);
    checkDivides(options.group_size, columns, "group_size", "inputs", layer);
    checkWeights(weights, rows, columns, layer);
    checkGram(calibration.gram, columns, layer);
    const inputs = checkSample(calibration.sample, columns, layer);
    const { upper, damping } = factorInverse(calibration.gram, null, options.damping, layer);
    reportDamping(damping, options.damping, layer, log);
    const current = fromFloat32(weights, rows, columns);
    clearDeadInputs(current, calibration.gram);
    return quantizeMixed(current, upper, inputs, options);
  },
};

function checkSample(sample: Float32Array | null, columns: number, layer: string): Matrix {
  if (sample === null) throw new RangeError(`${layer} comes without a sample of inputs`);
  const bad = sample.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    throw new UserError(
      `Cannot calibrate ${layer}: its input ${bad % columns} is ${
        sample[bad]
      } for a token of the ` +
        `calibration text; check that the model gives finite activations`,
    );
  }
  return fromFloat32(sample, sample.length / columns, columns);
}

/**
 * Quantizes `weights [rows, columns]`, which it overwrites.
 *
 * @param upper `[columns, columns]`: `U` with `H^-1 = U^T U`.
 * @param inputs `[tokens, columns]`: what the widths are allocated for.
 */
export function quantizeMixed(
  weights: Matrix,
  upper: Matrix,
  inputs: Matrix,
  options: Omit<SlimLlmParameters, "method" | "damping">,
): HostMixedWeight {
  const { rows, columns } = weights;
  const { bits, group_size: groupSize, one_bit: oneBit, objective, pairs } = options;
  const groups = columns / groupSize;
  const salience = groupSalience(weights, upper, groupSize);
  const { widths } = allocateWidths(weights, salience, inputs, bits, { objective, pairs, oneBit });
  const codes = new Uint8Array(rows * columns);
  const scales = new Float32Array(rows * groups);
  const zeros = new Float32Array(rows * groups);
  const search = { exponent: options.exponent, salientWeight: options.salient_weight };
  widths.forEach((width, index) => {
    const start = index * groupSize;
    const group = block(weights, 0, start, rows, groupSize);
    const salient = salientWeights(group, upper, start, options.salient);
    const grids = searchScales(group, width, fitRows(group, width, oneBit), salient, search);
    grids.forEach(({ scale, zero }, row) => {
      scales[row * groups + index] = scale;
      zeros[row * groups + index] = zero;
    });
    roundBlock(weights, upper, start, groupSize, (value, row, column) => {
      const grid = grids[row]!;
      const code = encodeWidth(value, grid, width);
      codes[row * columns + column] = code;
      // The value that is read back: the product rounded to f32.
      return Math.fround(grid.scale * (code - grid.zero));
    });
  });
  return {
    format: "mixed",
    rows,
    columns,
    bits,
    blockRows: 1,
    blockColumns: groupSize,
    widths,
    codes: packMixedCodes(codes, widths, rows, groupSize),
    scales,
    zeros,
  };
}
