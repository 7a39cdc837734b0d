/**
 * Student's t distribution.
 *
 * @module
 */

/** Terms of the continued fraction, of which a few dozen suffice. */
const MOST_TERMS = 10_000;

/**
 * Probability that the absolute value of a t-distributed number is at least `|t|`:
 * `I(freedom / (freedom + t^2); freedom / 2, 1/2)` (DLMF 8.17).
 *
 * @param freedom Degrees of freedom, positive.
 *
 * @example With one degree of freedom it is the Cauchy distribution
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.ok(Math.abs(twoSidedTail(1, 1) - 0.5) < 1e-14);
 * ```
 */
export function twoSidedTail(t: number, freedom: number): number {
  if (Number.isNaN(t)) return NaN;
  const square = t * t;
  if (square === Infinity) return 0;
  return incompleteBeta(
    freedom / (freedom + square),
    square / (freedom + square),
    freedom / 2,
    0.5,
  );
}

/** Regularized incomplete beta function of `x`, given with `y = 1 - x`, which may be tiny. */
function incompleteBeta(x: number, y: number, a: number, b: number): number {
  if (x === 0 || y === 0) return x;
  // The fraction converges fast on this side of the mean; the other follows by symmetry.
  if (x > (a + 1) / (a + b + 2)) return 1 - incompleteBeta(y, x, b, a);
  const logFactor = a * Math.log(x) + b * Math.log(y) - Math.log(a) - logBeta(a, b);
  return Math.exp(logFactor) / betaFraction(x, a, b);
}

/** The continued fraction 8.17.22 of the DLMF, by the method of Lentz (1976). */
function betaFraction(x: number, a: number, b: number): number {
  const tiny = 1e-300;
  let fraction = 1;
  let c = 1;
  let d = 0;
  for (let term = 1; term < MOST_TERMS; term++) {
    const m = Math.floor(term / 2);
    const numerator = term % 2 === 0
      ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
      : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / (1 + numerator * d || tiny);
    c = 1 + numerator / c || tiny;
    const factor = c * d;
    fraction *= factor;
    if (Math.abs(factor - 1) < 1e-16) break;
  }
  return fraction;
}

function logBeta(a: number, b: number): number {
  return logGamma(a) + logGamma(b) - logGamma(a + b);
}

/** Stirling's series (DLMF 5.11.1), from 10 on, where its error is below 1e-16. */
function logGamma(x: number): number {
  let shift = 0;
  let z = x;
  for (; z < 10; z++) shift += Math.log(z);
  const inverse = 1 / (z * z);
  const series = 1 / 12 - inverse * (1 / 360 - inverse * (1 / 1260 - inverse * (1 / 1680 -
                inverse * (1 / 1188 - inverse * (691 / 360_360 - inverse / 156)))));
  return (z - 0.5) * Math.log(z) - z + 0.5 * Math.log(2 * Math.PI) + series / z - shift;
}
