// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Finite differences: what a gradient is by definition.
 *
 * @module
 */

import assert from "node:assert/strict";

/** Step of the central difference; in float64 its truncation and rounding errors are near 1e-10. */
const STEP = 1e-5;

/** Largest error allowed, relative to the largest element of the gradient. */
const TOLERANCE = 1e-7;

/**
 * Compares a gradient with central differences, element by element.
 *
 * @param name For error messages.
 * @param variable What the scalar depends on; changed and restored.
 * @param gradient The claimed gradient of `scalar` with respect to `variable`.
 * @param scalar Computes the scalar from what `variable` holds.
 */
export function checkGradient(
  name: string,
  variable: Float64Array,
  gradient: Float64Array,
  scalar: () => number,
): void {
  assert.equal(gradient.length, variable.length, `${name}: size of the gradient`);
  const largest = gradient.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  assert.ok(largest > 0 && Number.isFinite(largest), `${name}: the gradient is ${largest}`);
  for (let i = 0; i < variable.length; i++) {
    const value = variable[i]!;
    variable[i] = value + STEP;
    const above = scalar();
    variable[i] = value - STEP;
    const below = scalar();
    variable[i] = value;
    const difference = (above - below) / (2 * STEP);
    assert.ok(
      Math.abs(difference - gradient[i]!) <= TOLERANCE * largest,
      `${name}[${i}] is ${gradient[i]}, but the finite difference is ${difference}`,
    );
  }
}

/** `sum_i left[i] right[i]`. */
export function dot(left: ArrayLike<number>, right: ArrayLike<number>): number {
  assert.equal(left.length, right.length);
  let sum = 0;
  for (let i = 0; i < left.length; i++) sum += left[i]! * right[i]!;
  return sum;
}

/** Asserts that two arrays agree within `tolerance` of the largest wanted element. */
export function assertClose(
  found: ArrayLike<number>,
  wanted: ArrayLike<number>,
  tolerance = 1e-12,
): void {
  assert.equal(found.length, wanted.length);
  let largest = 0;
  for (let i = 0; i < wanted.length; i++) largest = Math.max(largest, Math.abs(wanted[i]!));
  for (let i = 0; i < wanted.length; i++) {
    assert.ok(
      Math.abs(found[i]! - wanted[i]!) <= tolerance * largest,
      `element ${i} is ${found[i]}, not ${wanted[i]}`,
    );
  }
}
