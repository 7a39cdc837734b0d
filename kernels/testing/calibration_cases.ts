// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Conformance cases of what calibration computes: Gram matrices, squared errors, columns in another
 * order. Clipped quantization is in `clipped_cases.ts`.
 *
 * @module
 */

import { RandomStream } from "../random.ts";
import { randomFloats } from "./arrays.ts";
import type { Case } from "./case.ts";

/** Rows and columns; the last has more rows than one grid dimension has workgroups. */
const SHAPES: readonly (readonly [number, number])[] = [[1, 1], [3, 7], [65, 33], [33, 128], [
  2,
  1030,
], [65_536 + 77, 2]];

/** `matmul` of a matrix with itself, `gram += scale x^T x`, as activations stream by. */
export function gramCases(): Case[] {
  const shapes: readonly [number, number][] = [[1, 1], [3, 31], [65, 33], [130, 64]];
  return shapes.map(([T, K]) => {
    const label = `gram T=${T} K=${K}`;
    return {
      label,
      inputs: { x: { shape: [T, K], data: randomFloats(label, T * K) } },
      outputs: {
        gram: {
          shape: [K, K],
          initial: randomFloats(`${label} gram`, K * K),
          terms: T,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.matmul({
          left: tensor("x"),
          right: tensor("x"),
          output: tensor("gram"),
          orientation: "tn",
          scale: 0.25,
          accumulate: true,
        }),
    };
  });
}

/** `squaredError`: losses alone, with a gradient, and with one that is added to. */
export function squaredErrorCases(): Case[] {
  const scale = Math.fround(0.3);
  return SHAPES.map(([M, N], index) => {
    const withGradient = index !== 3;
    const accumulate = index % 2 === 1;
    const label = `squaredError M=${M} N=${N}${accumulate ? " accumulate" : ""}`;
    const prediction = randomFloats(`${label} prediction`, M * N);
    const target = randomFloats(`${label} target`, M * N);
    const before = accumulate ? randomFloats(`${label} gradient`, M * N) : undefined;
    const magnitude = Float64Array.from(
      prediction,
      (p, i) => 2 * scale * Math.abs(p - target[i]!) + Math.abs(before?.[i] ?? 0),
    );
    return {
      label,
      inputs: {
        prediction: { shape: [M, N], data: prediction },
        target: { shape: [M, N], data: target },
      },
      outputs: {
        losses: { shape: [M], terms: N, magnitude: "relative" },
        ...(withGradient
          ? {
            gradient: {
              shape: [M, N],
              ...(before ? { initial: before } : {}),
              terms: 2,
              magnitude,
            },
          }
          : {}),
      },
      record: (operations, tensor) =>
        operations.squaredError({
          prediction: tensor("prediction"),
          target: tensor("target"),
          scale,
          losses: tensor("losses"),
          ...(withGradient ? { gradient: tensor("gradient") } : {}),
          ...(accumulate ? { accumulate } : {}),
        }),
    };
  });
}

/** Rows, columns, and how many of them are selected. */
const SELECTIONS: readonly (readonly [M: number, K: number, C: number])[] = [
  [1, 1, 1],
  [3, 7, 5],
  [65, 33, 33],
  [33, 128, 96],
  [2, 1030, 1],
  [65_536 + 77, 2, 2],
];

/** `gatherColumns`: permutations, selections, and a column that is selected several times. */
export function gatherColumnsCases(): Case[] {
  const cases = SELECTIONS.map(([M, K, C]) => ({ M, K, order: randomOrder(K, C) }));
  return [...cases, { M: 5, K: 3, order: Uint32Array.of(2, 0, 2, 2, 1, 0) }].map(
    ({ M, K, order }) => {
      const label = `gatherColumns M=${M} K=${K} C=${order.length}`;
      return {
        label,
        inputs: {
          input: { shape: [M, K], data: randomFloats(label, M * K) },
          order: { shape: [order.length], data: order },
        },
        outputs: { output: { shape: [M, order.length], terms: 1, magnitude: "exact" } },
        record: (operations, tensor) =>
          operations.gatherColumns({
            input: tensor("input"),
            order: tensor("order"),
            output: tensor("output"),
          }),
      };
    },
  );
}

/** `scatterColumns`: permutations, and selections that leave columns as they are. */
export function scatterColumnsCases(): Case[] {
  return SELECTIONS.map(([M, K, C]) => {
    const label = `scatterColumns M=${M} K=${K} C=${C}`;
    return {
      label,
      inputs: {
        input: { shape: [M, C], data: randomFloats(label, M * C) },
        order: { shape: [C], data: randomOrder(K, C) },
      },
      outputs: {
        output: {
          shape: [M, K],
          initial: randomFloats(`${label} output`, M * K),
          terms: 2,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.scatterColumns({
          input: tensor("input"),
          order: tensor("order"),
          output: tensor("output"),
        }),
    };
  });
}

/** The first `count` of `size` indices in random order. */
export function randomOrder(size: number, count: number): Uint32Array {
  const stream = new RandomStream(1, `order ${size}`);
  const keys = Float64Array.from({ length: size }, (_, index) => stream.uniform(index));
  return Uint32Array.from(keys.keys()).sort((a, b) => keys[a]! - keys[b]! || a - b)
    .subarray(0, count);
}
