// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * GPTQ (Frantar et al. 2023): integer codes that keep the outputs of a layer, not its weights. Columns
 * are rounded one after another, and the columns to come are moved so that they make up for as much of
 * the error as the Gram matrix of the layer's inputs says they can.
 *
 * @module
 */

import { z } from "zod";
import { packCodes } from "../../kernels/packing.ts";
import { checkGram } from "../calibration/check_gram.ts";
import type { HostIntegerWeight, HostOrderedWeight } from "../formats/host_weight.ts";
import { fromFloat32, type Matrix, matrix } from "../linalg/matrix.ts";
import { type ColumnRule, roundColumns, staticGrids } from "./gptq_columns.ts";
import { activationOrder, clearDeadInputs, factorInverse, reportDamping } from "./gptq_hessian.ts";
import { describeGrid, gridFields, gridFormat } from "./integer_grid.ts";
import { checkDivides, checkWeights, type Quantizer } from "./quantizer.ts";

const parameters = z.strictObject({
  method: z.literal("gptq"),
  ...gridFields,
  damping: z.number().min(0).lt(1).default(0.01)
    .describe("Added to the Gram matrix's diagonal, relative to the mean of the diagonal."),
  block_size: z.int().positive().default(128)
    .describe("Inputs whose errors are spread one by one before all others are corrected at once."),
  act_order: z.boolean().default(false)
    .describe(
      "Round the inputs with the largest activations first; unless groups are static, a device " +
        "holds such weights in f32, because groups lie scattered over the inputs.",
    ),
  static_groups: z.boolean().default(false)
    .describe("Fit all grids to the weights as they were; with act_order, groups stay in place."),
  grid: z.enum(["stale", "fresh"]).default("stale")
    .describe(
      "What a grid inside a block of inputs is fitted to: weights without the corrections of that " +
        "block, as in the released code, or with them.",
    ),
  range: z.number().positive().max(1).default(1)
    .describe(
      "Factor of the range of every block; the code of MagR uses 0.8 at 2 bits and 0.9 at 3.",
    ),
  mse: z.boolean().default(false)
    .describe("Search each block for the smaller range that loses least."),
  mse_grid: z.int().positive().default(100)
    .describe("Steps from the whole range to none."),
  mse_max_shrink: z.number().positive().max(1).default(0.8)
    .describe("Share of these steps that is tried."),
  mse_exponent: z.number().positive().default(2.4)
    .describe("The search minimizes the sum of errors to this power."),
});

/** Parameters of {@linkcode gptq}. */
export type GptqParameters = z.output<typeof parameters>;

/** What {@linkcode gptq} returns: `ordered` with `act_order` unless groups are static. */
export type GptqWeight = HostIntegerWeight | HostOrderedWeight;

/** Integer codes that minimize the error of a layer's outputs, column by column. */
export const gptq: Quantizer<GptqParameters> = {
  name: "gptq",
  summary: "GPTQ: integer codes whose errors later inputs make up for",
  parameters,
  describe: (options) =>
    `GPTQ ${describeGrid(options)}` +
    (options.act_order ? ", largest activations first" : "") +
    (isOrdered(options) ? " and 32 more per column" : ""),
  format: (options) =>
    isOrdered(options) ? { ...gridFormat(options), format: "ordered" } : gridFormat(options),
  calibration: () => ({ gram: true, sample: false }),
  quantize(weights, rows, columns, options, layer, calibration, log): GptqWeight {
    if (calibration === undefined) throw new RangeError(`${layer} comes without calibration`);
    const { codes, scales, zeros, damping, order } = roundLayer(
      weights,
      rows,
      columns,
      options,
      layer,
      calibration.gram,
    );
    reportDamping(damping, options.damping, layer, log);
    const integer = {
      rows,
      columns,
      bits: options.bits,
      blockRows: options.block_rows,
      blockColumns: options.group_size,
      codes: packCodes(codes, options.bits, rows, columns),
      scales,
      zeros,
    };
    return order === null
      ? { format: "integer", ...integer }
      : { format: "ordered", ...integer, order };
  },
};

/** Whether groups are formed in the order of activations, scattered over the inputs. */
function isOrdered({ act_order, static_groups }: GptqParameters): boolean {
  return act_order && !static_groups;
}

/** What {@linkcode roundLayer} finds for a layer. */
export interface RoundedLayer {
  /** `[rows, columns]`, one byte each. */
  readonly codes: Uint8Array;
  /** `[rows / block_rows, columns / group_size]`. */
  readonly scales: Float32Array;
  /** `[rows / block_rows, columns / group_size]`, whole numbers. */
  readonly zeros: Float32Array;
  /** `tr((W - Q) H (W - Q)^T)` for the damped Hessian, W without the weights of dead inputs. */
  readonly error: number;
  /** The damping that was used: the given one, or more where that was too little. */
  readonly damping: number;
  /** The input of each column of codes, where groups were formed in that order; else null. */
  readonly order: Uint32Array | null;
}

/**
 * GPTQ of `weights [rows, columns]` for inputs with the Gram matrix `gram [columns, columns]`, up to a
 * positive factor.
 *
 * @throws {UserError} If weights or Gram matrix are not finite, a block size does not divide the
 * weights, or the matrix is no Gram matrix.
 */
export function roundLayer(
  weights: Float32Array,
  rows: number,
  columns: number,
  options: GptqParameters,
  layer: string,
  gram: Matrix,
): RoundedLayer {
  checkDivides(options.group_size, columns, "group_size", "inputs", layer);
  checkDivides(options.block_rows, rows, "block_rows", "outputs", layer);
  checkWeights(weights, rows, columns, layer);
  checkGram(gram, columns, layer);
  const order = options.act_order ? activationOrder(gram) : null;
  const { upper, damping } = factorInverse(gram, order, options.damping, layer);
  const rule = ruleOf(options);
  const current = fromFloat32(weights, rows, columns);
  clearDeadInputs(current, gram);
  const fixed = options.static_groups
    ? { grids: staticGrids(current, rule), groups: groupsOf(order, columns, rule.groupSize) }
    : null;
  const ordered = order === null ? current : takeColumns(current, order);
  const rounded = roundColumns(ordered, upper, rule, fixed);
  if (order === null || fixed === null) return { ...rounded, damping, order };
  const codes = returnColumns(rounded.codes, order);
  return { ...rounded, codes, damping, order: null };
}

function ruleOf(options: GptqParameters): ColumnRule {
  const { mse_grid: grid, mse_max_shrink: max_shrink, mse_exponent: exponent } = options;
  return {
    bits: options.bits,
    symmetric: options.symmetric,
    range: options.range,
    clip: options.mse ? { grid, max_shrink, exponent } : null,
    groupSize: options.group_size,
    blockRows: options.block_rows,
    blockSize: options.block_size,
    fresh: options.grid === "fresh",
  };
}

/** The group of each column of an order, groups being consecutive inputs. */
function groupsOf(order: Uint32Array | null, columns: number, groupSize: number): Uint32Array {
  const inputs = order ?? Uint32Array.from({ length: columns }, (_, column) => column);
  return inputs.map((input) => Math.floor(input / groupSize));
}

function takeColumns({ rows, columns, values }: Matrix, order: Uint32Array): Matrix {
  const result = matrix(rows, columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      result.values[row * columns + column] = values[row * columns + order[column]!]!;
    }
  }
  return result;
}

function returnColumns(codes: Uint8Array, order: Uint32Array): Uint8Array {
  const columns = order.length;
  const result = new Uint8Array(codes.length);
  for (let start = 0; start < codes.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      result[start + order[column]!] = codes[start + column]!;
    }
  }
  return result;
}
