// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Eigenvalues and eigenvectors of a diagonal matrix plus a matrix of rank one, `D + rho z zᵀ`: the
 * roots of the secular equation
 *
 *     f(lambda) = 1 / rho + sum over i of z_i² / (d_i - lambda) = 0.
 *
 * @module
 */

import { type Matrix, matrix } from "./matrix.ts";

/** More turns than any root takes: interpolation needs about ten, and halving an interval 60. */
const MOST_TURNS = 200;

/** An eigenvalue as the pole next to it and the distance from there, which keeps small gaps exact. */
interface Root {
  readonly pole: number;
  readonly distance: number;
}

/**
 * Solves for all eigenvalues, ascending, and eigenvectors, in the columns of a matrix.
 *
 * `poles` ascend strictly, no element of `z` is 0, and `rho` is positive: deflation has seen to it.
 * Eigenvectors come from the z that has exactly the computed roots (Gu and Eisenstat 1994, "A stable
 * and efficient algorithm for the rank-one modification of the symmetric eigenproblem"), so that they
 * are orthogonal however close the roots are.
 */
export function solveSecular(
  poles: Float64Array,
  z: Float64Array,
  rho: number,
): { values: Float64Array; vectors: Matrix } {
  const size = poles.length;
  const roots = Array.from(poles, (_, index) => findRoot(poles, z, rho, index));
  const values = Float64Array.from(roots, ({ pole, distance }) => poles[pole]! + distance);
  // Element (j, i): d_i - lambda_j.
  const gaps = new Float64Array(size * size);
  roots.forEach(({ pole, distance }, j) => {
    const origin = poles[pole]!;
    for (let i = 0; i < size; i++) gaps[j * size + i] = poles[i]! - origin - distance;
  });
  const weights = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    let product = gaps[i * size + i]!;
    for (let j = 0; j < size; j++) {
      if (j !== i) product *= gaps[j * size + i]! / (poles[i]! - poles[j]!);
    }
    weights[i] = Math.sign(z[i]!) * Math.sqrt(Math.abs(product));
  }
  const vectors = matrix(size, size);
  for (let j = 0; j < size; j++) {
    let sum = 0;
    for (let i = 0; i < size; i++) {
      const component = weights[i]! / gaps[j * size + i]!;
      gaps[j * size + i] = component;
      sum += component * component;
    }
    const norm = Math.sqrt(sum);
    for (let i = 0; i < size; i++) vectors.values[i * size + j] = gaps[j * size + i]! / norm;
  }
  return { values, vectors };
}

/** The root between pole `index` and the next one, or behind the last. */
function findRoot(poles: Float64Array, z: Float64Array, rho: number, index: number): Root {
  const size = poles.length;
  const isLast = index === size - 1;
  let width: number;
  let pole = index;
  let low: number;
  let high: number;
  if (isLast) {
    width = rho * z.reduce((sum, value) => sum + value * value, 0);
    [low, high] = [0, width];
  } else {
    width = poles[index + 1]! - poles[index]!;
    // f rises from minus to plus infinity: its sign in the middle tells which pole is nearer.
    const isLeft = evaluate(poles, z, rho, index, index, width / 2).value >= 0;
    pole = isLeft ? index : index + 1;
    [low, high] = isLeft ? [0, width / 2] : [-width / 2, 0];
  }
  const before = poles[index]! - poles[pole]!;
  const after = isLast ? Infinity : poles[index + 1]! - poles[pole]!;
  let distance = (low + high) / 2;
  for (let turn = 0; turn < MOST_TURNS; turn++) {
    const f = evaluate(poles, z, rho, index, pole, distance);
    if (Math.abs(f.value) <= 4 * Number.EPSILON * f.magnitude) break;
    if (f.value < 0) low = distance;
    else high = distance;
    let next = distance + interpolate(f, before - distance, after - distance);
    if (!(next > low && next < high)) next = (low + high) / 2;
    const isSettled = Math.abs(next - distance) <= Number.EPSILON * Math.abs(next);
    distance = next;
    if (isSettled) break;
  }
  return { pole, distance };
}

/** The secular function: its value, the slopes of its two parts, and the sum of magnitudes. */
interface Secular {
  readonly value: number;
  readonly slopeBefore: number;
  readonly slopeAfter: number;
  readonly magnitude: number;
}

function evaluate(
  poles: Float64Array,
  z: Float64Array,
  rho: number,
  index: number,
  pole: number,
  distance: number,
): Secular {
  const origin = poles[pole]!;
  let [before, slopeBefore, after, slopeAfter] = [0, 0, 0, 0];
  for (let i = 0; i <= index; i++) {
    const ratio = z[i]! / (poles[i]! - origin - distance);
    before += z[i]! * ratio;
    slopeBefore += ratio * ratio;
  }
  for (let i = poles.length - 1; i > index; i--) {
    const ratio = z[i]! / (poles[i]! - origin - distance);
    after += z[i]! * ratio;
    slopeAfter += ratio * ratio;
  }
  const value = 1 / rho + before + after;
  return { value, slopeBefore, slopeAfter, magnitude: 1 / rho - before + after };
}

/**
 * The step to the root of `c + q / (a - step) + s / (b - step)`, which has the value and both slopes
 * of f (Li 1994, "Solving secular equations stably and efficiently"); a and b are the distances to the
 * poles on both sides, b infinite behind the last one.
 */
function interpolate({ value, slopeBefore, slopeAfter }: Secular, a: number, b: number): number {
  if (b === Infinity) {
    const c = value - a * slopeBefore;
    return a + a * a * slopeBefore / c;
  }
  const quadratic = value - a * slopeBefore - b * slopeAfter;
  const linear = (a + b) * value - a * b * (slopeBefore + slopeAfter);
  const constant = a * b * value;
  const root = Math.sqrt(Math.max(0, linear * linear - 4 * quadratic * constant));
  return linear <= 0 ? (linear - root) / (2 * quadratic) : 2 * constant / (linear + root);
}
