// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of clipped quantization. A quotient near the middle between two codes may round
 * to either on a device that computes in f32; the data keep away from such places, or lie on them
 * exactly, where the even code is due.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { randomFloats } from "./arrays.ts";
import type { Case } from "./case.ts";

interface ClippedShape {
  readonly rows: number;
  readonly columns: number;
  readonly groupSize: number;
  readonly bits: IntegerBits;
  readonly symmetric?: true;
  readonly containsZero?: true;
  /** Range of the weights. Default: [-1, 1). */
  readonly range?: readonly [number, number];
}

/** Group sizes that are no vectors, whole rows, zeros beyond the codes, and very many groups. */
const SHAPES: readonly ClippedShape[] = [
  { rows: 1, columns: 1, groupSize: 1, bits: 2 },
  { rows: 3, columns: 32, groupSize: 32, bits: 2 },
  { rows: 5, columns: 63, groupSize: 7, bits: 3, containsZero: true },
  { rows: 7, columns: 128, groupSize: 64, bits: 4, symmetric: true },
  { rows: 3, columns: 1030, groupSize: 1030, bits: 8 },
  { rows: 33, columns: 192, groupSize: 64, bits: 2, symmetric: true, containsZero: true },
  { rows: 9, columns: 256, groupSize: 32, bits: 4, range: [1, 2] },
  { rows: 9, columns: 64, groupSize: 32, bits: 4, range: [1, 2], containsZero: true },
  { rows: 4, columns: 40, groupSize: 20, bits: 1 },
  // The least scale.
  { rows: 2, columns: 36, groupSize: 36, bits: 3, range: [-1e-6, 1e-6] },
  { rows: 65_536 + 77, columns: 2, groupSize: 2, bits: 2 },
];

/** Quotients closer than this to the middle between two integers are avoided, large ones farther. */
const MARGIN = 1e-3;

interface ClippedData {
  readonly label: string;
  readonly shape: ClippedShape;
  readonly weight: Float32Array;
  readonly upper: Float32Array;
  readonly lower: Float32Array;
}

/** `clippedQuantize`. */
export function clippedQuantizeCases(): Case[] {
  return allData().map((data) => {
    const { rows, columns, groupSize } = data.shape;
    const grids = Array.from(data.upper, (_, group) => gridOf(data, group));
    const magnitude = Float64Array.from(data.weight, (w, i) => {
      const grid = grids[Math.floor(i / groupSize)]!;
      return grid.precision * Math.abs(grid.scale * stepsOf(grid, w));
    });
    return {
      label: `clippedQuantize ${data.label}`,
      inputs: inputsOf(data),
      outputs: { output: { shape: [rows, columns], terms: 4, magnitude } },
      record: (operations, tensor) =>
        operations.clippedQuantize({
          weight: tensor("weight"),
          upper: tensor("upper"),
          lower: tensor("lower"),
          ...settings(data.shape),
          output: tensor("output"),
        }),
    };
  });
}

/** `clippedQuantizeBackward`. */
export function clippedQuantizeBackwardCases(): Case[] {
  return allData().map((data) => {
    const { label, shape: { rows, columns, groupSize }, weight, upper } = data;
    const gradOutput = randomFloats(`${label} gradOutput`, rows * columns);
    const initial = randomFloats(`${label} gradients`, upper.length);
    const gradUpper = Float64Array.from(initial, Math.abs);
    const gradLower = gradUpper.slice();
    for (let group = 0; group < upper.length; group++) {
      const grid = gridOf(data, group);
      let size = 0;
      for (let i = group * groupSize; i < (group + 1) * groupSize; i++) {
        const quotient = Math.abs(weight[i]! / grid.scale);
        size += Math.abs(gradOutput[i]!) *
          (Math.abs(stepsOf(grid, weight[i]!)) + grid.precision * quotient);
      }
      gradUpper[group]! += size * grid.byUpper;
      gradLower[group]! += size * grid.byLower;
    }
    const output = (magnitude: Float64Array) => ({
      shape: [upper.length],
      initial,
      terms: groupSize + 4,
      magnitude,
    });
    return {
      label: `clippedQuantizeBackward ${label}`,
      inputs: {
        ...inputsOf(data),
        gradOutput: { shape: [rows, columns], data: gradOutput },
      },
      outputs: { gradUpper: output(gradUpper), gradLower: output(gradLower) },
      record: (operations, tensor) =>
        operations.clippedQuantizeBackward({
          weight: tensor("weight"),
          upper: tensor("upper"),
          lower: tensor("lower"),
          ...settings(data.shape),
          gradOutput: tensor("gradOutput"),
          gradUpper: tensor("gradUpper"),
          gradLower: tensor("gradLower"),
        }),
    };
  });
}

function allData(): ClippedData[] {
  return [...SHAPES.map(randomData), tiedData(), narrowData()];
}

function randomData(shape: ClippedShape): ClippedData {
  const { rows, columns, groupSize, range = [-1, 1] } = shape;
  const label = describe(shape);
  const groups = rows * columns / groupSize;
  const weight = randomFloats(`${label} weight`, rows * columns, ...range);
  if (rows > 2) weight.fill(0, groupSize, 2 * groupSize);
  const upper = randomFloats(`${label} upper`, groups, -2, 6);
  const lower = randomFloats(`${label} lower`, groups, -2, 6);
  const data = { label, shape, weight, upper, lower };
  for (let group = 0; group < groups; group++) {
    while (isNearMiddle(data, group)) {
      upper[group] = next(upper[group]!);
      lower[group] = next(lower[group]!);
    }
  }
  return data;
}

/** Another logit in [-2, 6). */
function next(logit: number): number {
  return logit + 0.37 < 6 ? logit + 0.37 : logit - 7.63;
}

/** Groups of 8 on grids of step 1/4 that no logit narrows, with quotients of whole and half steps. */
function tiedData(): ClippedData {
  const halves = [-1, -0.5, 0, 0.5, 1, 1.5, 2, 0.5];
  const upper = new Float32Array(3).fill(100);
  return {
    label: "exactly between two codes",
    shape: { rows: 3, columns: 8, groupSize: 8, bits: 2 },
    // The zeros are 1 and, rounded to even, 0 and 2.
    weight: Float32Array.from([0, 0.5, -0.5].flatMap((by) => halves.map((x) => (x + by) / 4))),
    upper,
    lower: upper,
  };
}

/** Weights far from zero with next to nothing between them: the zero is cut to 10^4 steps. */
function narrowData(): ClippedData {
  return {
    label: "far from zero",
    shape: { rows: 1, columns: 8, groupSize: 8, bits: 2 },
    weight: new Float32Array(8).fill(-5),
    upper: Float32Array.of(4),
    lower: Float32Array.of(4),
  };
}

/** A grid, and the sizes of what its rounding errors come from. */
interface Grid {
  readonly scale: number;
  /** Before it is rounded. */
  readonly zero: number;
  readonly levels: number;
  /** By how much the terms that make up the scale are larger than it is. */
  readonly precision: number;
  /** `|d scale / d upper|`, or for a symmetric grid what it would be, times that of its errors. */
  readonly byUpper: number;
  /** Like `byUpper`. */
  readonly byLower: number;
}

/** The relative error of a sigmoid grows with its logit, that of an exponential with its argument. */
function gridOf(data: ClippedData, group: number): Grid {
  const { bits, symmetric, groupSize, containsZero } = data.shape;
  const values = data.weight.subarray(group * groupSize, (group + 1) * groupSize);
  const maximum = values.reduce((a, b) => Math.max(a, b), containsZero ? 0 : -Infinity);
  const minimum = values.reduce((a, b) => Math.min(a, b), containsZero ? 0 : Infinity);
  const [upper, lower] = [data.upper[group]!, data.lower[group]!];
  const [high, low] = [sigmoid(upper) * maximum, sigmoid(lower) * minimum];
  const levels = 2 ** bits - 1;
  const divisor = symmetric ? 2 ** (bits - 1) - 1 : levels;
  const range = symmetric ? Math.max(Math.abs(high), Math.abs(low)) : high - low;
  const scale = clamp(range / divisor, 1e-5, 1e4);
  const free = scale === range / divisor;
  const terms = (1 + Math.abs(upper)) * Math.abs(high) + (1 + Math.abs(lower)) * Math.abs(low);
  const slope = (logit: number, end: number) =>
    free ? (1 + Math.abs(logit)) * sigmoid(-logit) * Math.abs(end) / divisor : 0;
  return {
    scale,
    zero: symmetric ? divisor : clamp(-low / scale, -1e4, 1e4),
    levels,
    precision: free && range > 0 ? 1 + terms / range : 1,
    byUpper: slope(upper, high),
    byLower: slope(lower, low),
  };
}

/** Whether a device that computes in f32 may round a weight or the zero of a group otherwise. */
function isNearMiddle(data: ClippedData, group: number): boolean {
  const { groupSize } = data.shape;
  const { scale, zero, precision } = gridOf(data, group);
  const near = (value: number) =>
    Math.abs(value - Math.floor(value) - 0.5) < MARGIN + 2 ** -20 * precision * Math.abs(value);
  return near(zero) ||
    data.weight.subarray(group * groupSize, (group + 1) * groupSize).some((w) => near(w / scale));
}

/** How many steps from zero a weight is put; where it lies in the middle, either is near enough. */
function stepsOf({ scale, zero, levels }: Grid, weight: number): number {
  const steps = Math.round(zero);
  return clamp(Math.round(weight / scale) + steps, 0, levels) - steps;
}

function clamp(value: number, least: number, largest: number): number {
  return Math.min(Math.max(value, least), largest);
}

function inputsOf({ shape, weight, upper, lower }: ClippedData): Case["inputs"] {
  const { rows, columns } = shape;
  return {
    weight: { shape: [rows, columns], data: weight },
    upper: { shape: [upper.length], data: upper },
    // As a matrix: logits may have any shape.
    lower: { shape: [rows, lower.length / rows], data: lower },
  };
}

function settings({ groupSize, bits, symmetric, containsZero }: ClippedShape) {
  return { groupSize, bits, symmetric: symmetric ?? false, containsZero: containsZero ?? false };
}

function describe(
  { rows, columns, groupSize, bits, symmetric, containsZero, range }: ClippedShape,
): string {
  return `${rows}x${columns} groups of ${groupSize} bits=${bits}` +
    `${symmetric ? " symmetric" : ""}${containsZero ? " with zero" : ""}` +
    `${range ? ` weights in ${range}` : ""}`;
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
