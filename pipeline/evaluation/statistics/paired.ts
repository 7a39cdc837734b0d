// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Two models on the same items. What is hard for one is mostly hard for the other, so that their
 * difference is known much better than either number.
 *
 * @module
 */

import { RandomStream } from "../../../kernels/random.ts";
import { mcnemarTest } from "./mcnemar.ts";
import { mean, meanStandardError, sampleDeviation } from "./standard_error.ts";
import { twoSidedTail } from "./student_distribution.ts";

/** How the `p` of a comparison was found. */
export type PairedTest = "mcnemar" | "t" | "bootstrap";

/** A difference between two models. */
export interface PairedComparison {
  /** Items. */
  readonly items: number;
  readonly first: number;
  readonly second: number;
  /** `second - first`. */
  readonly difference: number;
  /** Of the difference; null for one item. */
  readonly standardError: number | null;
  /** Items that only the second model has right; null where items are not right or wrong. */
  readonly gained: number | null;
  /** Items that only the first model has right. */
  readonly lost: number | null;
  /** Two-sided, of there being no difference; null where it cannot be told. */
  readonly p: number | null;
  readonly test: PairedTest;
}

/** Log-likelihood of an item and its weight: words, bytes or 1. */
export type WeightedLikelihood = readonly [number, number];

/** Resamples of a bootstrap. */
const ITERATIONS = 2000;

/**
 * Compares means over items. The standard error is that of the mean of the differences,
 * `sqrt(sum (d - mean d)^2 / (n - 1) / n)`; where items are right (1) or wrong (0) that is
 * `sqrt(((b + c) / n - ((b - c) / n)^2) / (n - 1))`, and `p` is McNemar's, else it is that of the
 * paired t-test.
 *
 * @throws {RangeError} If there is no item, or the lists differ in length.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const first = Array.from({ length: 1000 }, (_, item) => item < 500 ? 1 : 0);
 * const second = first.map((right, item) => item < 60 ? 0 : item >= 960 ? 1 : right);
 * const { gained, lost, difference, standardError } = comparePaired(first, second);
 * assert.deepEqual([gained, lost], [40, 60]);
 * assert.equal(difference.toFixed(3), "-0.020");
 * assert.equal(standardError?.toFixed(5), "0.00998");
 * ```
 */
export function comparePaired(
  first: readonly number[],
  second: readonly number[],
): PairedComparison {
  checkLengths(first, second);
  const differences = second.map((value, item) => value - first[item]!);
  const difference = mean(differences);
  const standardError = meanStandardError(differences);
  const common = {
    items: first.length,
    first: mean(first),
    second: mean(second),
    difference,
    standardError,
  };
  const isBinary = [...first, ...second].every((value) => value === 0 || value === 1);
  if (isBinary) {
    const gained = differences.filter((value) => value === 1).length;
    const lost = differences.filter((value) => value === -1).length;
    return { ...common, gained, lost, p: mcnemarTest(gained, lost), test: "mcnemar" };
  }
  return {
    ...common,
    gained: null,
    lost: null,
    p: pOfT(difference, standardError, first.length),
    test: "t",
  };
}

/**
 * Compares numbers that are no means: perplexities, of weighted log-likelihoods. Items are drawn with
 * replacement, both models' together; `standardError` is the standard deviation of the difference
 * over resamples, and `p` twice the smaller share of them on one side of 0.
 *
 * @param statistic Of one model's items.
 * @param seed Decides all draws.
 * @throws {RangeError} If there is no item, or the lists differ in length.
 */
export function compareByBootstrap(
  first: readonly WeightedLikelihood[],
  second: readonly WeightedLikelihood[],
  statistic: (logLikelihood: number, weight: number) => number,
  seed: number,
): PairedComparison {
  checkLengths(first, second);
  const items = first.length;
  const value = (list: readonly WeightedLikelihood[], of: (draw: number) => number) => {
    let likelihood = 0;
    let weight = 0;
    for (let draw = 0; draw < items; draw++) {
      const item = list[of(draw)]!;
      likelihood += item[0];
      weight += item[1];
    }
    return statistic(likelihood, weight);
  };
  const whole = [first, second].map((list) => value(list, (draw) => draw));
  const common = {
    items,
    first: whole[0]!,
    second: whole[1]!,
    difference: whole[1]! - whole[0]!,
    gained: null,
    lost: null,
    test: "bootstrap" as const,
  };
  if (items < 2) return { ...common, standardError: null, p: null };
  const random = new RandomStream(seed, "paired bootstrap");
  const resamples = Array.from({ length: ITERATIONS }, (_, iteration) => {
    const draws = Uint32Array.from(
      { length: items },
      (_, draw) => Math.floor(random.uniform(iteration * items + draw) * items),
    );
    return value(second, (draw) => draws[draw]!) - value(first, (draw) => draws[draw]!);
  });
  const below = resamples.filter((difference) => difference <= 0).length;
  const above = resamples.filter((difference) => difference >= 0).length;
  // The sample itself is one of those that could have been drawn (Davison and Hinkley 1997, 4.2).
  const p = Math.min(1, 2 * (Math.min(below, above) + 1) / (ITERATIONS + 1));
  return { ...common, standardError: sampleDeviation(resamples), p };
}

function pOfT(difference: number, standardError: number | null, items: number): number | null {
  if (standardError === null) return null;
  if (standardError === 0) return difference === 0 ? 1 : 0;
  return twoSidedTail(difference / standardError, items - 1);
}

function checkLengths(first: readonly unknown[], second: readonly unknown[]): void {
  if (first.length === second.length && first.length > 0) return;
  throw new RangeError(
    `Items of two models are compared one by one, but there are ${first.length} and ${second.length}`,
  );
}
