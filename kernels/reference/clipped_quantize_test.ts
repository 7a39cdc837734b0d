// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import {
  clippedQuantize,
  clippedQuantizeBackward,
  type ClippedSettings,
} from "./clipped_quantize.ts";

const floats = (name: string, count: number, low = -1, high = 1) =>
  Float64Array.from(randomFloats(name, count, low, high));

/** Logits whose sigmoid is 1: nothing is clipped. */
const OPEN = Float64Array.of(100);

function quantize(
  weight: number[],
  upper: Float64Array,
  lower: Float64Array,
  settings: Omit<ClippedSettings, "groupSize">,
): number[] {
  const output = new Float64Array(weight.length);
  const groupSize = weight.length / upper.length;
  clippedQuantize(Float64Array.from(weight), upper, lower, output, { ...settings, groupSize });
  return [...output];
}

Deno.test("without clipping the grid reaches from the least to the largest weight", () => {
  const settings = { bits: 2, symmetric: false, containsZero: false };
  const weight = [-1, -0.4, 0.1, 2];
  assert.deepEqual(quantize(weight, OPEN, OPEN, settings), [-1, 0, 0, 2]);
  // Half a step goes to the even code, on either side of zero.
  assert.deepEqual(quantize([-0.5, 0.5, 1.5, -1, 2], OPEN, OPEN, settings), [0, 0, 2, -1, 2]);
});

Deno.test("clipping narrows the grid and moves what lies outside to its ends", () => {
  // sigmoid(ln 3) = 3/4, sigmoid(-ln 3) = 1/4.
  const [upper, lower] = [Float64Array.of(Math.log(3)), Float64Array.of(-Math.log(3))];
  const settings = { symmetric: false, containsZero: false };
  const weight = [-2, -0.5, 0.5, 1, 3];
  const wanted = quantizeByHand(weight, -0.5, 2.25, 3);
  assertClose(quantize(weight, upper, lower, { ...settings, bits: 3 }), wanted);
  // The low end, 3/7 of a step below zero, is lost when the zero is rounded.
  assertClose(quantize([-4, 0, 1, 8], upper, lower, { ...settings, bits: 2 }), [0, 0, 0, 7]);
});

/** Every weight to the nearest value of the grid, whose zero is the integer nearest to its place. */
function quantizeByHand(weight: number[], low: number, high: number, bits: number): number[] {
  const levels = 2 ** bits - 1;
  const step = (high - low) / levels;
  const zero = Math.round(-low / step);
  const grid = Array.from({ length: levels + 1 }, (_, code) => step * (code - zero));
  return weight.map((w) =>
    grid.reduce((best, value) => Math.abs(value - w) < Math.abs(best - w) ? value : best)
  );
}

Deno.test("a symmetric grid of two bits is ternary until it is clipped", () => {
  const settings = { bits: 2, symmetric: true, containsZero: false };
  assert.deepEqual(quantize([-1, -0.6, 0.4, 0.8], OPEN, OPEN, settings), [-1, -1, 0, 1]);
  // sigmoid(0) = 1/2: the step is 0.5 and the fourth code within reach.
  const half = Float64Array.of(0);
  assert.deepEqual(quantize([-1, -0.6, 0.4, 0.8], half, half, settings), [-0.5, -0.5, 0.5, 1]);
});

Deno.test("zero is a value of the grid if it must be, whatever the weights are", () => {
  const settings = { bits: 2, symmetric: false, containsZero: true };
  assertClose(quantize([1, 1.1, 2, 3], OPEN, OPEN, settings), [1, 1, 2, 3]);
  // Without it the grid is 1, 4/3, 5/3 and 2: its zero is -3.
  const free = quantize([1, 1.1, 1.4, 2], OPEN, OPEN, { ...settings, containsZero: false });
  assertClose(free, [1, 1, 4 / 3, 2]);
});

Deno.test("weights that are all zero stay zero, and their logits where they are", () => {
  for (const symmetric of [false, true]) {
    const settings = { bits: 4, symmetric, containsZero: false };
    assert.ok(quantize([0, 0, 0], OPEN, OPEN, settings).every((value) => Math.abs(value) === 0));
    const [gradUpper, gradLower] = [new Float64Array(1), new Float64Array(1)];
    const zeros = new Float64Array(3);
    const ones = zeros.map(() => 1);
    clippedQuantizeBackward(zeros, OPEN, OPEN, ones, gradUpper, gradLower, {
      ...settings,
      groupSize: 3,
    });
    assert.deepEqual([...gradUpper, ...gradLower].map(Math.abs), [0, 0]);
  }
});

/**
 * What is differentiated: the forward pass in which the rounding errors, the zeros and which codes are
 * clamped stay as they were. It is smooth in the logits.
 */
function surrogate(
  weight: Float64Array,
  upper: Float64Array,
  lower: Float64Array,
  { groupSize, bits, symmetric, containsZero }: ClippedSettings,
): (upper: Float64Array, lower: Float64Array) => Float64Array {
  const levels = 2 ** bits - 1;
  const scaleOf = (group: number, upper: Float64Array, lower: Float64Array) => {
    const values = weight.subarray(group * groupSize, (group + 1) * groupSize);
    const ends = containsZero ? [...values, 0] : [...values];
    const high = Math.max(...ends) / (1 + Math.exp(-upper[group]!));
    const low = Math.min(...ends) / (1 + Math.exp(-lower[group]!));
    const scale = symmetric
      ? Math.max(Math.abs(high), Math.abs(low)) / (2 ** (bits - 1) - 1)
      : (high - low) / levels;
    return { scale, zero: symmetric ? 2 ** (bits - 1) - 1 : Math.round(-low / scale) };
  };
  const frozen = Array.from(weight, (w, i) => {
    const { scale, zero } = scaleOf(Math.floor(i / groupSize), upper, lower);
    const code = Math.round(w / scale) + zero;
    const clamped = Math.min(Math.max(code, 0), levels);
    return code === clamped
      ? { steps: null, rounding: Math.round(w / scale) - w / scale }
      : { steps: clamped - zero, rounding: 0 };
  });
  return (upper, lower) =>
    weight.map((w, i) => {
      const { scale } = scaleOf(Math.floor(i / groupSize), upper, lower);
      const { steps, rounding } = frozen[i]!;
      return scale * (steps ?? w / scale + rounding);
    });
}

const SETTINGS: readonly ClippedSettings[] = [
  { groupSize: 8, bits: 2, symmetric: false, containsZero: false },
  { groupSize: 4, bits: 3, symmetric: false, containsZero: true },
  { groupSize: 6, bits: 4, symmetric: true, containsZero: false },
  { groupSize: 24, bits: 2, symmetric: true, containsZero: true },
];

for (const settings of SETTINGS) {
  const { groupSize, bits, symmetric, containsZero } = settings;
  const name = `groups of ${groupSize}, ${bits} bits${symmetric ? ", symmetric" : ""}${
    containsZero ? ", with zero" : ""
  }`;
  Deno.test(`clip logits: the gradient of the pass with frozen roundings: ${name}`, () => {
    const [weight, gradOutput] = [floats(`w ${name}`, 24), floats("dy", 24)];
    const groups = 24 / groupSize;
    const [upper, lower] = [floats("upper", groups, -1, 3), floats("lower", groups, -1, 3)];
    const smooth = surrogate(weight, upper, lower, settings);

    const output = new Float64Array(24);
    clippedQuantize(weight, upper, lower, output, settings);
    assertClose(smooth(upper, lower), output);

    const [gradUpper, gradLower] = [new Float64Array(groups), new Float64Array(groups)];
    const backward = () =>
      clippedQuantizeBackward(weight, upper, lower, gradOutput, gradUpper, gradLower, settings);
    backward();
    const both = new Float64Array([...upper, ...lower]);
    checkGradient("gradients", both, new Float64Array([...gradUpper, ...gradLower]), () => {
      const output = smooth(both.subarray(0, groups), both.subarray(groups));
      return dot(output, gradOutput);
    });
    const once = [gradUpper.slice(), gradLower.slice()] as const;
    backward();
    assertClose(gradUpper, once[0].map((value) => 2 * value));
    assertClose(gradLower, once[1].map((value) => 2 * value));
  });
}
