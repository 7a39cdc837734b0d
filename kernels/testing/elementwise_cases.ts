// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of element-wise operations and normalization.
 *
 * @module
 */

import { randomFloats } from "./arrays.ts";
import type { Case } from "./case.ts";
import { rmsNormGradientMagnitudes } from "./magnitudes.ts";

const SIZES = [1, 65, 1031] as const;
/** More rows than one grid dimension has workgroups, as the heads of all tokens together have. */
const TALL = [65_536 + 77, 2] as const;
const EPSILON = Math.fround(1e-5);

/** `fill`, `copy` and `add` of f32 tensors, also with `output` being an operand. */
export function elementwiseCases(): Case[] {
  return SIZES.flatMap((size): Case[] => {
    const shape = [size];
    const left = randomFloats(`left ${size}`, size);
    const right = randomFloats(`right ${size}`, size);
    const inPlace = { shape, initial: left, terms: 2, magnitude: "absolute" as const };
    return [
      {
        label: `fill ${size}`,
        inputs: {},
        outputs: { output: { shape, terms: 1, magnitude: "exact" } },
        record: (operations, tensor) => operations.fill({ output: tensor("output"), value: -1.5 }),
      },
      {
        label: `copy ${size}`,
        inputs: { input: { shape, data: left } },
        outputs: { output: { shape, terms: 1, magnitude: "exact" } },
        record: (operations, tensor) =>
          operations.copy({ input: tensor("input"), output: tensor("output") }),
      },
      {
        label: `add ${size}`,
        inputs: { left: { shape, data: left }, right: { shape, data: right } },
        outputs: { output: { shape, terms: 2, magnitude: "absolute" } },
        record: (operations, tensor) =>
          operations.add({
            left: tensor("left"),
            right: tensor("right"),
            output: tensor("output"),
          }),
      },
      {
        label: `add ${size} into left`,
        inputs: { right: { shape, data: right } },
        outputs: { sum: inPlace },
        record: (operations, tensor) =>
          operations.add({ left: tensor("sum"), right: tensor("right"), output: tensor("sum") }),
      },
      {
        label: `add ${size} into right`,
        inputs: { left: { shape, data: right } },
        outputs: { sum: inPlace },
        record: (operations, tensor) =>
          operations.add({ left: tensor("left"), right: tensor("sum"), output: tensor("sum") }),
      },
      {
        label: `add ${size} to itself`,
        inputs: {},
        outputs: { sum: inPlace },
        record: (operations, tensor) =>
          operations.add({ left: tensor("sum"), right: tensor("sum"), output: tensor("sum") }),
      },
    ];
  });
}

/** `swiglu`, with gates that overflow a careless exponential. */
export function swigluCases(): Case[] {
  return SIZES.map((size) => {
    const { shape, gate, up } = gated(size);
    const magnitude = Float64Array.from(
      gate,
      (g, i) => (1 + Math.abs(g)) * Math.abs(g * sigmoid(g) * up[i]!),
    );
    return {
      label: `swiglu ${size}`,
      inputs: { gate: { shape, data: gate }, up: { shape, data: up } },
      outputs: { output: { shape, terms: 1, magnitude } },
      record: (operations, tensor) =>
        operations.swiglu({ gate: tensor("gate"), up: tensor("up"), output: tensor("output") }),
    };
  });
}

/** `swigluBackward`, into new tensors and over its own inputs. */
export function swigluBackwardCases(): Case[] {
  return SIZES.flatMap((size): Case[] => {
    const { shape, gate, up } = gated(size);
    const gradOutput = randomFloats(`gradOutput ${size}`, size);
    const gradGate = Float64Array.from(gate, (g, i) => {
      const s = sigmoid(g);
      return (1 + Math.abs(g)) * Math.abs(gradOutput[i]! * up[i]! * s) *
        (1 + Math.abs(g) * (1 - s));
    });
    const gradUp = Float64Array.from(
      gate,
      (g, i) => (1 + Math.abs(g)) * Math.abs(gradOutput[i]! * g * sigmoid(g)),
    );
    return [
      {
        label: `swigluBackward ${size}`,
        inputs: {
          gate: { shape, data: gate },
          up: { shape, data: up },
          gradOutput: { shape, data: gradOutput },
        },
        outputs: {
          gradGate: { shape, terms: 4, magnitude: gradGate },
          gradUp: { shape, terms: 4, magnitude: gradUp },
        },
        record: (operations, tensor) =>
          operations.swigluBackward({
            gate: tensor("gate"),
            up: tensor("up"),
            gradOutput: tensor("gradOutput"),
            gradGate: tensor("gradGate"),
            gradUp: tensor("gradUp"),
          }),
      },
      {
        label: `swigluBackward ${size} in place`,
        inputs: { gradOutput: { shape, data: gradOutput } },
        outputs: {
          gate: { shape, initial: gate, terms: 4, magnitude: gradGate },
          up: { shape, initial: up, terms: 4, magnitude: gradUp },
        },
        record: (operations, tensor) =>
          operations.swigluBackward({
            gate: tensor("gate"),
            up: tensor("up"),
            gradOutput: tensor("gradOutput"),
            gradGate: tensor("gate"),
            gradUp: tensor("up"),
          }),
      },
    ];
  });
}

/** `rmsNorm`, also with more features than a workgroup holds and a row of zeros. */
export function rmsNormCases(): Case[] {
  return normShapes().map(({ M, D, label, input, weight }) => ({
    label: `rmsNorm ${label}`,
    inputs: { input: { shape: [M, D], data: input }, weight: { shape: [D], data: weight } },
    outputs: { output: { shape: [M, D], terms: D, magnitude: "relative" } },
    record: (operations, tensor) =>
      operations.rmsNorm({
        input: tensor("input"),
        weight: tensor("weight"),
        output: tensor("output"),
        epsilon: EPSILON,
      }),
  }));
}

/** `rmsNormBackward`, overwriting and accumulating, with and without the gradient of the weight. */
export function rmsNormBackwardCases(): Case[] {
  return normShapes().map(({ M, D, label, input, weight }, index) => {
    const accumulate = index % 2 === 1;
    const withWeight = index !== 2;
    const gradOutput = randomFloats(`${label} gradOutput`, M * D);
    const before = accumulate ? randomFloats(`${label} gradInput`, M * D) : undefined;
    const gradWeight = randomFloats(`${label} gradWeight`, D);
    const magnitudes = rmsNormGradientMagnitudes(
      input,
      weight,
      gradOutput,
      before,
      gradWeight,
      EPSILON,
    );
    return {
      label: `rmsNormBackward ${label}${accumulate ? " accumulate" : ""}`,
      inputs: {
        input: { shape: [M, D], data: input },
        weight: { shape: [D], data: weight },
        gradOutput: { shape: [M, D], data: gradOutput },
      },
      outputs: {
        gradInput: {
          shape: [M, D],
          ...(before ? { initial: before } : {}),
          terms: D,
          magnitude: magnitudes.gradInput,
        },
        ...(withWeight
          ? {
            gradWeight: {
              shape: [D],
              initial: gradWeight,
              terms: M + D,
              magnitude: magnitudes.gradWeight,
            },
          }
          : {}),
      },
      record: (operations, tensor) =>
        operations.rmsNormBackward({
          input: tensor("input"),
          weight: tensor("weight"),
          gradOutput: tensor("gradOutput"),
          gradInput: tensor("gradInput"),
          gradWeight: withWeight ? tensor("gradWeight") : null,
          epsilon: EPSILON,
          ...(accumulate ? { accumulate } : {}),
        }),
    };
  });
}

function normShapes() {
  const shapes: readonly (readonly [number, number])[] = [[1, 1], [3, 7], [65, 33], [257, 64], [
    2,
    1030,
  ], TALL];
  return shapes.map(([M, D]) => {
    const label = `M=${M} D=${D}`;
    const input = randomFloats(`${label} input`, M * D);
    if (M > 1) input.fill(0, D, 2 * D);
    return { M, D, label, input, weight: randomFloats(`${label} weight`, D) };
  });
}

function gated(size: number) {
  const gate = randomFloats(`gate ${size}`, size, -4, 4);
  const up = randomFloats(`up ${size}`, size, -4, 4);
  if (size > 4) gate.set([100, -100, 0, -20]);
  return { shape: [size], gate, up };
}

function sigmoid(x: number): number {
  return 1 / (1 + Math.exp(-x));
}
