/**
 * The exact test of McNemar (1947): of the items on which two models disagree, how likely is a split
 * at least as uneven as the one seen if each were equally likely to be right?
 *
 * @module
 */

/**
 * Two-sided p-value of `gained` against `lost` under a binomial distribution with probability 1/2:
 * `min(1, 2 P(X <= min(gained, lost)))`, and 1 where there is no disagreement.
 *
 * @throws {RangeError} If a count is negative or not whole.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(mcnemarTest(0, 5), 2 / 2 ** 5);
 * assert.equal(mcnemarTest(3, 3), 1);
 * ```
 */
export function mcnemarTest(gained: number, lost: number): number {
  for (const count of [gained, lost]) {
    if (!Number.isSafeInteger(count) || count < 0) {
      throw new RangeError(`${count} is no number of items`);
    }
  }
  const trials = gained + lost;
  const smaller = Math.min(gained, lost);
  // From the largest term down, so that none underflows before it is too small to count.
  const largest = logChoose(trials, smaller);
  let sum = 0;
  let term = 1;
  for (let k = smaller; k >= 0 && term > 0; k--) {
    sum += term;
    term *= k / (trials - k + 1);
  }
  return Math.min(1, 2 * sum * Math.exp(largest - trials * Math.LN2));
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}
