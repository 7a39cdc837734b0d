// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Which weights of a block BiLLM treats how (Huang et al. 2024, algorithms 1 and 2): salient columns,
 * and the split of all others by magnitude into concentrated and sparse ones.
 *
 * @module
 */

import type { Matrix } from "../linalg/matrix.ts";
import { termsError } from "./billm_terms.ts";

/** Where the paper's text and the released code disagree. */
export interface MaskRules {
  /** Fewest and most salient columns of a block that are tried. */
  readonly columns: readonly [number, number];
  /** Binary terms on both sides of the search for salient columns. */
  readonly terms: 1 | 2;
  /** Candidates for the break-point: shares of the largest magnitude, or of the number of weights. */
  readonly breakPoints: "maximum" | "quantile";
  /** Whether terms have means. */
  readonly means: boolean;
}

/** The code tries 1 to 49 columns on two terms each, and 81 percentiles. */
export const CODE_RULES: MaskRules = {
  columns: [1, 49],
  terms: 2,
  breakPoints: "quantile",
  means: true,
};

/** The paper tries 3 to 30 columns on one term each, and shares of the largest magnitude. */
export const PAPER_RULES: MaskRules = {
  columns: [3, 30],
  terms: 1,
  breakPoints: "maximum",
  means: false,
};

/** Part of weights in salient columns; 0 is that of concentrated, 1 that of sparse weights. */
export const SALIENT = 2;

/**
 * The part of each weight of a block, `[rows, width]`: 0 concentrated, 1 sparse,
 * {@linkcode SALIENT} for all weights of a salient column.
 *
 * @param salience `[rows, width]`: ranks the columns.
 * @param searched `[rows, width]`: what both searches binarize; the weights (paper) or the salience
 * (code).
 */
export function partition(salience: Matrix, searched: Matrix, rules: MaskRules): Uint8Array {
  const { columns: width, values } = searched;
  const salient = new Uint8Array(width);
  for (const column of salientColumns(salience, searched, rules)) salient[column] = 1;
  const threshold = breakPoint(searched, salient, rules);
  return Uint8Array.from(
    values,
    (value, index) => salient[index % width] === 1 ? SALIENT : Math.abs(value) < threshold ? 0 : 1,
  );
}

/** 0.10 to 0.90: shares that break-points are tried at. */
const SHARES: readonly number[] = Array.from({ length: 81 }, (_, index) => (10 + index) / 100);

/**
 * The salient columns of a block: those with the largest sums of `|salience|`, as many as leave the
 * least error when both sides are binarized.
 *
 * @param salience `[rows, width]`: ranks the columns.
 * @param searched `[rows, width]`: what is binarized; the weights (paper) or the salience (code).
 * @returns Columns of the block, most salient first; fewer than all of them.
 */
export function salientColumns(salience: Matrix, searched: Matrix, rules: MaskRules): Uint32Array {
  const { rows, columns: width } = salience;
  const sums = new Float64Array(width);
  salience.values.forEach((value, index) => sums[index % width]! += Math.abs(value));
  const order = Uint32Array.from(sums.keys()).sort((a, b) => sums[b]! - sums[a]!);
  const most = Math.min(rules.columns[1], width - 1);
  let best = 0;
  let least = Infinity;
  const side = new Float64Array(width);
  for (let count = Math.min(rules.columns[0], most); count <= most; count++) {
    let error = 0;
    for (let row = 0; row < rows; row++) {
      for (let index = 0; index < width; index++) {
        side[index] = searched.values[row * width + order[index]!]!;
      }
      error += termsError(side, count, rules.terms, rules.means) +
        termsError(side.subarray(count), width - count, rules.terms, rules.means);
    }
    if (error < least) {
      least = error;
      best = count;
    }
  }
  return order.slice(0, best);
}

/**
 * The magnitude that splits the weights of a block that are not in salient columns, such that both
 * sides together are binarized with the least error; weights below it are concentrated, all others
 * sparse.
 *
 * @param searched `[rows, width]`: see {@linkcode salientColumns}.
 * @param salient `[width]`: 1 for salient columns.
 */
export function breakPoint(searched: Matrix, salient: Uint8Array, rules: MaskRules): number {
  const { rows, columns: width, values } = searched;
  const low = new Float64Array(width);
  const high = new Float64Array(width);
  let best = 0;
  let least = Infinity;
  for (const candidate of candidates(searched, salient, rules)) {
    let error = 0;
    for (let row = 0; row < rows; row++) {
      let below = 0;
      let above = 0;
      for (let column = 0; column < width; column++) {
        if (salient[column] === 1) continue;
        const value = values[row * width + column]!;
        if (Math.abs(value) < candidate) low[below++] = value;
        else high[above++] = value;
      }
      error += termsError(low, below, 1, rules.means) + termsError(high, above, 1, rules.means);
    }
    if (error < least) {
      least = error;
      best = candidate;
    }
  }
  return best;
}

/** Magnitudes to try. As in the released code, weights of salient columns count as zeros. */
function candidates(searched: Matrix, salient: Uint8Array, { breakPoints }: MaskRules): number[] {
  const sorted = searched.values
    .map((value, index) => salient[index % searched.columns] === 1 ? 0 : Math.abs(value)).sort();
  return SHARES.map((share) => {
    if (breakPoints === "maximum") return share * sorted.at(-1)!;
    // Linear interpolation between neighbours, as torch.quantile() has it.
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
  });
}
