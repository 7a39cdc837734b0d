// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * BiLLM (Huang et al. 2024): weights of one bit. A few salient columns of each block are sums of two
 * binary terms; the other weights are split by magnitude into two groups with one binary term each;
 * the columns right of a block make up for its error.
 *
 * @module
 */

import { z } from "zod";
import { packCodes } from "../../kernels/packing.ts";
import { UserError } from "../errors.ts";
import {
  BINARY_MEANS,
  BINARY_SCALES,
  countSalient,
  type HostBinaryWeight,
} from "../formats/binary_weight.ts";
import { block, copyBlock, fromFloat32, type Matrix, matrix } from "../linalg/matrix.ts";
import { CODE_RULES, PAPER_RULES, partition, SALIENT } from "./billm_masks.ts";
import { fitTerms } from "./billm_terms.ts";
import { compensate } from "./column_block.ts";
import { checkGram } from "../calibration/check_gram.ts";
import { clearDeadInputs, factorInverse, reportDamping } from "./gptq_hessian.ts";
import { checkDivides, checkWeights, type Quantizer } from "./quantizer.ts";

const parameters = z.strictObject({
  method: z.literal("billm"),
  group_size: z.int().positive().multipleOf(2).default(128)
    .describe("Inputs of a block, whose scales are its own; divides every layer's inputs."),
  salience: z.enum(["hessian", "magnitude"]).default("hessian")
    .describe("What ranks columns: w^2 / U_jj^2 with the factor U of the inverse Hessian, or |w|."),
  rules: z.enum(["paper", "code"]).default("paper")
    .describe(
      "paper: both searches run on the weights, 3 to 30 salient columns, shares of the largest " +
        "weight, no means. code: on the salience, 1 to 49 columns, percentiles, means.",
    ),
  compensation: z.enum(["diagonal", "exact"]).default("diagonal")
    .describe("diagonal: errors divided by U_jj, as published; exact: the least-squares optimum."),
  damping: z.number().min(0).lt(1).default(0.01)
    .describe("Added to the Gram matrix's diagonal, relative to the mean of the diagonal."),
});

/** Parameters of {@linkcode billm}. */
export type BillmParameters = z.output<typeof parameters>;

/** Signs with scales: see the module documentation. */
export const billm: Quantizer<BillmParameters> = {
  name: "billm",
  summary: "BiLLM: signs with scales, two terms in salient columns, two groups elsewhere",
  parameters,
  describe({ group_size, rules }) {
    const numbers = BINARY_SCALES + (rules === "code" ? BINARY_MEANS : 0);
    return `BiLLM, blocks 1x${group_size}, ` +
      `${Number((2 + 16 * numbers / group_size).toFixed(3))} bits per weight`;
  },
  format: ({ group_size, rules }) => ({ format: "binary", group_size, means: rules === "code" }),
  calibration: () => ({ gram: true, sample: false }),
  parameterBits(weight) {
    if (weight.format !== "binary") throw new RangeError(`The weight is ${weight.format}`);
    return 1 + countSalient(weight) / weight.columns;
  },
  quantize(weights, rows, columns, options, layer, calibration, log): HostBinaryWeight {
    if (calibration === undefined) throw new RangeError(`${layer} comes without calibration`);
    checkDivides(options.group_size, columns, "group_size", "inputs", layer);
    checkWeights(weights, rows, columns, layer);
    checkGram(calibration.gram, columns, layer);
    const current = fromFloat32(weights, rows, columns);
    clearDeadInputs(current, calibration.gram);
    const { upper, damping } = factorInverse(calibration.gram, null, options.damping, layer);
    reportDamping(damping, options.damping, layer, log);
    const weight = binarize(current, upper, options);
    const { scales, means } = weight;
    if (!scales.every(Number.isFinite) || means?.every(Number.isFinite) === false) {
      throw new UserError(
        `Cannot quantize ${layer}: a scale or mean of its weights is above 65504, the largest number ` +
          `of the f16 that BiLLM stores them in; use slim-llm or gptq, which store f32`,
      );
    }
    return weight;
  },
};

/** Binarizes `weights [rows, columns]`, which it overwrites, block by block. */
export function binarize(
  weights: Matrix,
  upper: Matrix,
  { group_size: width, salience, rules: source, compensation }: Omit<
    BillmParameters,
    "method" | "damping"
  >,
): HostBinaryWeight {
  const { rows, columns } = weights;
  const rules = source === "code" ? CODE_RULES : PAPER_RULES;
  const blocks = columns / width;
  const codes = new Uint8Array(rows * columns);
  const salient = new Uint8Array(Math.ceil(columns / 8));
  const scales = new Float16Array(rows * blocks * BINARY_SCALES);
  const means = rules.means ? new Float16Array(rows * blocks * BINARY_MEANS) : null;
  for (let index = 0; index < blocks; index++) {
    const start = index * width;
    const current = copyBlock(block(weights, 0, start, rows, width));
    const ranked = salience === "hessian" ? squaredSalience(current, upper, start) : current;
    const parts = partition(ranked, source === "code" ? ranked : current, rules);
    const quantized = matrix(rows, width);
    for (let row = 0; row < rows; row++) {
      const place = row * blocks + index;
      const [from, to] = [row * width, (row + 1) * width];
      binarizeRow(
        current.values.subarray(from, to),
        parts.subarray(from, to),
        rules.means,
        {
          values: quantized.values.subarray(from, to),
          codes: codes.subarray(row * columns + start),
          scales: scales.subarray(place * BINARY_SCALES),
          means: means?.subarray(place * BINARY_MEANS) ?? null,
        },
      );
    }
    for (let column = 0; column < width; column++) {
      const at = start + column;
      if (parts[column] === SALIENT) salient[at >>> 3]! |= 1 << (at & 7);
    }
    compensate(weights, upper, start, quantized, compensation);
  }
  return {
    format: "binary",
    rows,
    columns,
    blockColumns: width,
    codes: packCodes(codes, 2, rows, columns),
    salient,
    scales,
    means,
  };
}

/** `w^2 / U_jj^2` of a block. */
function squaredSalience(current: Matrix, upper: Matrix, start: number): Matrix {
  const { rows, columns, values } = current;
  return matrix(
    rows,
    columns,
    values.map((value, index) => {
      const column = start + index % columns;
      return (value / upper.values[column * (upper.columns + 1)]!) ** 2;
    }),
  );
}

/** Where the row of a block goes, each array from its start. */
interface BinaryRow {
  /** `[width]`: what became of the weights. */
  readonly values: Float64Array;
  /** `[width]`: see {@linkcode HostBinaryWeight.codes}. */
  readonly codes: Uint8Array;
  /** `[4]`. */
  readonly scales: Float16Array;
  /** `[3]`, or null where means are 0. */
  readonly means: Float16Array | null;
}

/**
 * Binarizes the weights of a row of a block, those of each part (0, 1 or {@linkcode SALIENT}) by
 * themselves, with means and scales rounded to f16.
 */
function binarizeRow(
  weights: Float64Array,
  parts: Uint8Array,
  withMeans: boolean,
  output: BinaryRow,
): void {
  const members = new Float64Array(weights.length);
  const signs = new Uint8Array(weights.length);
  for (const part of [SALIENT, 0, 1]) {
    let count = 0;
    for (let column = 0; column < weights.length; column++) {
      if (parts[column] === part) members[count++] = weights[column]!;
    }
    const { mean, scales } = fitTerms(
      members,
      count,
      part === SALIENT ? 2 : 1,
      withMeans,
      signs,
    );
    const firstScale = part === SALIENT ? 0 : 2 + part;
    const place = part === SALIENT ? 0 : 1 + part;
    output.scales.set(scales, firstScale);
    output.means?.fill(mean, place, place + 1);
    const center = output.means?.[place] ?? 0;
    count = 0;
    for (let column = 0; column < weights.length; column++) {
      if (parts[column] !== part) continue;
      const bits = signs[count++]!;
      output.codes[column] = part === SALIENT ? bits : bits | part << 1;
      output.values[column] = scales.reduce(
        (sum, _, term) => sum + (bits >>> term & 1 ? 1 : -1) * output.scales[firstScale + term]!,
        center,
      );
    }
  }
}
