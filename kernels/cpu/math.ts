/**
 * Elementary functions of four floats at once, as code that is appended to a function.
 *
 * Arguments are reduced to a short interval around 0 as Cody & Waite do it (Software Manual for the
 * Elementary Functions, 1980), with the polynomials of S. Moshier's Cephes library (`expf`, `logf`).
 * The largest error is below 2 units in the last place.
 *
 * @module
 */

import { type Expression, f32x4, i32x4, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** Below this, `e^x` counts as 0: it is about the least normal number. */
const LEAST_EXPONENT = Math.fround(-125 * Math.LN2);

/** Above this, `e^x` is more than the largest float. */
const LARGEST_EXPONENT = 89;

/**
 * Adding it rounds to an integer, which then stands in the low bits of the mantissa, with 126 added:
 * shifted to where the exponent belongs, they are that power of two, halved so that 2^128 is one.
 */
const ROUNDER = 1.5 * 2 ** 23 + 126;

/** ln 2 in two parts: the first has so few bits that its product with an exponent is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440054690583e-4;

/** `e^r = 1 + r + r^2 P(r)` for |r| <= ln(2) / 2, highest power first. */
const EXP_POLYNOMIAL = [
  1.9875691500e-4,
  1.3981999507e-3,
  8.3334519073e-3,
  4.1665795894e-2,
  1.6666665459e-1,
  5.0000001201e-1,
];

/** `ln(1 + f) = f - f^2 / 2 + f^3 P(f)` for 1 + f between sqrt(1/2) and sqrt(2). */
const LOG_POLYNOMIAL = [
  7.0376836292e-2,
  -1.1514610310e-1,
  1.1676998740e-1,
  -1.2420140846e-1,
  1.4249322787e-1,
  -1.6668057665e-1,
  2.0000714765e-1,
  -2.4999993993e-1,
  3.3333331174e-1,
];

/** `e^x` for any x: 0 where that would be less than 2^-125, Infinity beyond the largest float. */
export function exp(f: FunctionBuilder, x: Expression<"v128">): Expression<"v128"> {
  const argument = f.let(x);
  const bounded = f.let(f32x4.pmin(argument, splat(LARGEST_EXPONENT)));
  const rounded = f.let(f32x4.relaxedMadd(bounded, splat(Math.LOG2E), splat(ROUNDER)));
  const n = f.let(f32x4.sub(rounded, splat(ROUNDER)));
  const high = f32x4.relaxedNmadd(n, splat(LN2_HIGH), bounded);
  const r = f.let(f32x4.relaxedNmadd(n, splat(LN2_LOW), high));
  const doubled = EXP_POLYNOMIAL.map((coefficient) => 2 * coefficient);
  const tail = polynomial(f, doubled, r);
  const linear = f32x4.relaxedMadd(r, splat(2), splat(2));
  const mantissa = f32x4.relaxedMadd(f32x4.mul(r, r), tail, linear);
  const result = f32x4.mul(mantissa, i32x4.shl(rounded, 23));
  return v128.andnot(result, f32x4.lt(argument, splat(LEAST_EXPONENT)));
}

/**
 * The natural logarithm of positive normal numbers; Infinity and NaN are their own logarithms.
 */
export function log(f: FunctionBuilder, x: Expression<"v128">): Expression<"v128"> {
  const argument = f.let(x);
  // x = 2^e m with m between sqrt(1/2) and sqrt(2).
  const exponent = f.let(i32x4.shrS(i32x4.sub(argument, words(0x3f3504f3)), 23));
  const m = i32x4.sub(argument, i32x4.shl(exponent, 23));
  const fraction = f.let(f32x4.sub(m, splat(1)));
  const e = f.let(f32x4.convertI32x4S(exponent));
  const square = f.let(f32x4.mul(fraction, fraction));
  const tail = f.let(
    f32x4.mul(f32x4.mul(polynomial(f, LOG_POLYNOMIAL, fraction), fraction), square),
  );
  // Smallest terms first.
  const low = f32x4.relaxedMadd(e, splat(LN2_LOW), tail);
  const small = f32x4.relaxedNmadd(square, splat(0.5), low);
  const result = f32x4.relaxedMadd(e, splat(LN2_HIGH), f32x4.add(fraction, small));
  return v128.bitselect(result, argument, f32x4.lt(argument, splat(Infinity)));
}

/** Horner's scheme. */
function polynomial(
  f: FunctionBuilder,
  coefficients: readonly number[],
  x: Local<"v128">,
): Expression<"v128"> {
  const [first = 0, ...rest] = coefficients;
  return rest.reduce<Expression<"v128">>(
    (value, coefficient) => f.let(f32x4.relaxedMadd(value, x, splat(coefficient))),
    splat(first),
  );
}

function splat(value: number): Expression<"v128"> {
  return f32x4.splat(value);
}

function words(value: number): Expression<"v128"> {
  return i32x4.splat(value);
}
