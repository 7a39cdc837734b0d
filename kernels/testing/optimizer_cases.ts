// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of reductions to a scalar, gradient clipping and AdamW.
 *
 * @module
 */

import { randomFloats } from "./arrays.ts";
import type { Case } from "./case.ts";

/** `weightedSum`. */
export function weightedSumCases(): Case[] {
  return [1, 65, 5000].map((size) => ({
    label: `weightedSum ${size}`,
    inputs: {
      values: { shape: [size], data: randomFloats(`values ${size}`, size) },
      weights: { shape: [size], data: randomFloats(`weights ${size}`, size) },
    },
    outputs: { output: { shape: [1], terms: size, magnitude: "absolute" } },
    record: (operations, tensor) =>
      operations.weightedSum({
        values: tensor("values"),
        weights: tensor("weights"),
        output: tensor("output"),
      }),
  }));
}

/** `gradientNorm` over one tensor and over several of unequal sizes, clipped and not. */
export function gradientNormCases(): Case[] {
  const shapes: readonly [readonly number[], number][] = [
    [[1], 0.25],
    [[33, 1, 700], 1],
    [[33, 1, 700], 1000],
    [[65, 5000, 7, 64], Infinity],
  ];
  return shapes.map(([sizes, maxNorm]) => {
    const label = `gradientNorm ${sizes.join(", ")} maxNorm=${maxNorm}`;
    return {
      label,
      inputs: Object.fromEntries(sizes.map((size, index) => [
        `gradient ${index}`,
        { shape: [size], data: randomFloats(`${label} ${index}`, size) },
      ])),
      outputs: {
        output: {
          shape: [2],
          terms: sizes.reduce((sum, size) => sum + size, 0),
          magnitude: "relative",
        },
      },
      record: (operations, tensor) =>
        operations.gradientNorm({
          gradients: sizes.map((_, index) => tensor(`gradient ${index}`)),
          maxNorm,
          output: tensor("output"),
        }),
    };
  });
}

/** `adamw`: a first step with empty moments, and a later one with decay and clipping. */
export function adamwCases(): Case[] {
  const shapes: readonly { size: number; step: number; decay: number; factor: number }[] = [
    { size: 1, step: 1, decay: 0, factor: 1 },
    { size: 65, step: 10, decay: 0.125, factor: 0.5 },
    { size: 1031, step: 3, decay: 0.01, factor: 1 },
  ];
  return shapes.map(({ size, step, decay, factor }) => {
    const label = `adamw ${size} step ${step}`;
    const rate = Math.fround(1e-2);
    const beta1 = Math.fround(0.9);
    const beta2 = Math.fround(0.999);
    const epsilon = Math.fround(1e-8);
    const correction1 = Math.fround(1 - 0.9 ** step);
    const correction2 = Math.fround(1 - 0.999 ** step);
    const parameters = randomFloats(`${label} parameters`, size);
    const gradients = randomFloats(`${label} gradients`, size);
    const moment1 = step === 1 ? new Float32Array(size) : randomFloats(`${label} moment1`, size);
    const moment2 = step === 1
      ? new Float32Array(size)
      : randomFloats(`${label} moment2`, size, 0, 1);
    const first = moment1.map((m, i) =>
      beta1 * Math.abs(m) + (1 - beta1) * Math.abs(gradients[i]! * factor)
    );
    const change = Float64Array.from(parameters, (p, i) => {
      const second = beta2 * moment2[i]! + (1 - beta2) * (gradients[i]! * factor) ** 2;
      return Math.abs(p) +
        rate / correction1 * first[i]! / (Math.sqrt(second / correction2) + epsilon);
    });
    const shape = [size];
    return {
      label,
      inputs: {
        gradients: { shape, data: gradients },
        hyper: {
          shape: [8],
          data: Float32Array.of(
            rate,
            beta1,
            beta2,
            epsilon,
            decay,
            correction1,
            correction2,
            0,
          ),
        },
        norm: { shape: [2], data: Float32Array.of(1, factor) },
      },
      outputs: {
        parameters: { shape, initial: parameters, terms: 4, magnitude: change },
        moment1: { shape, initial: moment1, terms: 2, magnitude: Float64Array.from(first) },
        moment2: { shape, initial: moment2, terms: 2, magnitude: "relative" },
      },
      record: (operations, tensor) =>
        operations.adamw({
          parameters: tensor("parameters"),
          gradients: tensor("gradients"),
          moment1: tensor("moment1"),
          moment2: tensor("moment2"),
          hyper: tensor("hyper"),
          norm: tensor("norm"),
        }),
    };
  });
}
