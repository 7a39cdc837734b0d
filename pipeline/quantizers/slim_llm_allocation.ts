// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Salience-determined bit allocation of SliM-LLM (Huang et al. 2025, section 3.2 and algorithm 2):
 * which groups of columns get one bit more or less than the mean.
 *
 * @module
 */

import { type Block, block, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiply, multiplyInto } from "../linalg/multiply.ts";
import { divergence, type Objective } from "./output_divergence.ts";
import { encodeWidth, fitRows, type OneBitRule } from "./slim_llm_grid.ts";

/** How {@linkcode allocateWidths} searches. */
export interface AllocationOptions {
  /** What the outputs of a layer are compared by. */
  readonly objective: Objective;
  /**
   * Numbers of pairs that are tried: 0 to half of the groups (the paper's text), or 1 to one less than
   * half of them (the released code).
   */
  readonly pairs: "paper" | "code";
  /** Levels of groups of one bit. */
  readonly oneBit: OneBitRule;
}

/** Which width each group gets, and why. */
export interface Allocation {
  /** `[groups]`: `bits - 1`, `bits` or `bits + 1`. */
  readonly widths: Uint8Array;
  /** Groups that lose a bit; as many gain one. */
  readonly pairs: number;
  /** The objective for each number of pairs that was tried. */
  readonly losses: ReadonlyMap<number, number>;
}

/**
 * The salience `w^2 / U_jj^2` of weights, summed over all rows of each group of columns; `U` is the
 * Cholesky factor of the inverse Hessian. It is the loss of Optimal Brain Surgeon given that all
 * columns before `j` are fixed: what the algorithms of the papers and both released codes compute,
 * where their texts print the inverse's diagonal, squared.
 */
export function groupSalience(weights: Matrix, upper: Matrix, groupSize: number): Float64Array {
  const { rows, columns, values } = weights;
  const salience = new Float64Array(columns / groupSize);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const ratio = values[row * columns + column]! / upper.values[column * (columns + 1)]!;
      salience[Math.floor(column / groupSize)]! += ratio * ratio;
    }
  }
  return salience;
}

/**
 * Moves bits from the least salient groups to the most salient ones, as many pairs as make the outputs
 * of the layer, rounded to nearest, least different from the true ones.
 *
 * Where the rule allows no pair (too few groups), all groups keep `bits`.
 *
 * @param weights `[rows, columns]`.
 * @param salience Of each group; see {@linkcode groupSalience}.
 * @param inputs `[tokens, columns]`: inputs of the layer.
 */
export function allocateWidths(
  weights: Matrix,
  salience: Float64Array,
  inputs: Matrix,
  bits: number,
  { objective, pairs: rule, oneBit }: AllocationOptions,
): Allocation {
  const groups = salience.length;
  const groupSize = weights.columns / groups;
  const [fewest, most] = rule === "paper"
    ? [0, Math.floor(groups / 2)]
    : [1, Math.floor(groups / 2) - 1];
  // Equal groups stay in order: sorting is stable.
  const order = Uint32Array.from(salience.keys()).sort((a, b) => salience[a]! - salience[b]!);
  const losses = new Map<number, number>();
  const widths = new Uint8Array(groups).fill(bits);
  if (most < 1) return { widths, pairs: 0, losses };

  const measure = divergence(multiply(inputs, weights, { transposeRight: true }), objective);
  const group = (source: Matrix, index: number) =>
    block(source, 0, index * groupSize, source.rows, groupSize);
  const rounded = matrix(weights.rows, weights.columns);
  for (let index = 0; index < groups; index++) {
    round(group(weights, index), bits, oneBit, group(rounded, index));
  }
  const outputs = multiply(inputs, rounded, { transposeRight: true });
  // Only the two groups of a pair change from one candidate to the next.
  const change = (index: number, width: number) => {
    const difference = matrix(weights.rows, groupSize);
    round(group(weights, index), width, oneBit, block(difference));
    const before = group(rounded, index);
    for (let row = 0; row < weights.rows; row++) {
      for (let column = 0; column < groupSize; column++) {
        difference.values[row * groupSize + column]! -= before
          .values[before.offset + row * before.stride + column]!;
      }
    }
    const options = { transposeRight: true, accumulate: true };
    multiplyInto(outputs, group(inputs, index), difference, options);
  };
  let best = 0;
  let least = Infinity;
  for (let pairs = 0; pairs <= most; pairs++) {
    if (pairs > 0) {
      change(order[pairs - 1]!, bits - 1);
      change(order[groups - pairs]!, bits + 1);
    }
    if (pairs < fewest) continue;
    const loss = measure(outputs);
    losses.set(pairs, loss);
    if (loss < least) {
      least = loss;
      best = pairs;
    }
  }
  for (let pair = 0; pair < best; pair++) {
    widths[order[pair]!] = bits - 1;
    widths[order[groups - 1 - pair]!] = bits + 1;
  }
  return { widths, pairs: best, losses };
}

/** Writes the values of a group, rounded to the nearest of its grids, to `output`. */
function round(group: Block, bits: number, oneBit: OneBitRule, output: Block): void {
  const grids = fitRows(group, bits, oneBit);
  for (let row = 0; row < group.rows; row++) {
    const grid = grids[row]!;
    for (let column = 0; column < group.columns; column++) {
      const weight = group.values[group.offset + row * group.stride + column]!;
      output.values[output.offset + row * output.stride + column] = grid.scale *
        (encodeWidth(weight, grid, bits) - grid.zero);
    }
  }
}
