/**
 * Conformance cases of matrix products and dequantization.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { randomFloats } from "./arrays.ts";
import type { Case, Input } from "./case.ts";
import {
  randomCodebook,
  randomDense,
  randomInteger,
  randomNf4,
  type WeightData,
} from "./weights.ts";

/** Names of the weight formats under test. */
export const WEIGHT_FORMATS = [
  "dense",
  "integer1",
  "integer2",
  "integer3",
  "integer4",
  "integer8",
  "nf4",
  "nf4 double",
  "codebook",
] as const;

/** One of {@linkcode WEIGHT_FORMATS}. */
export type WeightFormat = typeof WEIGHT_FORMATS[number];

interface LinearShape {
  readonly M: number;
  readonly weight: WeightData;
}

/** `linear` in one format: awkward shapes, with and without bias, overwriting and accumulating. */
export function linearCases(format: WeightFormat): Case[] {
  return linearShapes(format).map(({ M, weight }, index) => {
    const { rows: N, columns: K } = weight;
    const accumulate = index % 2 === 1;
    const withBias = index % 3 === 1;
    const label = `linear ${format} ${describe(M, weight)}${accumulate ? " accumulate" : ""}${
      withBias ? " bias" : ""
    }`;
    const bias: Record<string, Input> = withBias
      ? { bias: { shape: [N], data: randomFloats(`${label} bias`, N) } }
      : {};
    return {
      label,
      weight,
      inputs: { input: { shape: [M, K], data: randomFloats(label, M * K) }, ...bias },
      outputs: {
        output: {
          shape: [M, N],
          ...(accumulate ? { initial: randomFloats(`${label} output`, M * N) } : {}),
          terms: K,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor, weight) =>
        operations.linear({
          input: tensor("input"),
          weight,
          ...(withBias ? { bias: tensor("bias") } : {}),
          output: tensor("output"),
          ...(accumulate ? { accumulate } : {}),
        }),
    };
  });
}

/** `linearTransposed` in one format. */
export function linearTransposedCases(format: WeightFormat): Case[] {
  return linearShapes(format).map(({ M, weight }, index) => {
    const { rows: N, columns: K } = weight;
    const accumulate = index % 2 === 0;
    const label = `linearTransposed ${format} ${describe(M, weight)}${
      accumulate ? " accumulate" : ""
    }`;
    return {
      label,
      weight,
      inputs: { gradOutput: { shape: [M, N], data: randomFloats(label, M * N) } },
      outputs: {
        gradInput: {
          shape: [M, K],
          ...(accumulate ? { initial: randomFloats(`${label} gradInput`, M * K) } : {}),
          terms: N,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor, weight) =>
        operations.linearTransposed({
          gradOutput: tensor("gradOutput"),
          weight,
          gradInput: tensor("gradInput"),
          accumulate,
        }),
    };
  });
}

/** `dequantize` in one format. */
export function dequantizeCases(format: WeightFormat): Case[] {
  const weights = linearShapes(format).map(({ weight }) => weight);
  return weights.filter((_, index) => index !== 1).map((weight) => ({
    label: `dequantize ${format} ${describe(null, weight)}`,
    weight,
    inputs: {},
    outputs: {
      output: { shape: [weight.rows, weight.columns], terms: 1, magnitude: "absolute" },
    },
    record: (operations, tensor, weight) =>
      operations.dequantize({ weight, output: tensor("output") }),
  }));
}

/** `matmul` in one orientation. */
export function matmulCases(orientation: "nn" | "nt" | "tn"): Case[] {
  const shapes: readonly [number, number, number][] = [
    [1, 1, 1],
    [3, 7, 31],
    [33, 65, 7],
    [65, 31, 33],
    [64, 128, 96],
  ];
  return shapes.map(([M, K, N], index) => {
    const accumulate = index % 2 === 1;
    const label = `matmul ${orientation} M=${M} K=${K} N=${N}${accumulate ? " accumulate" : ""}`;
    return {
      label,
      inputs: {
        left: {
          shape: orientation === "tn" ? [K, M] : [M, K],
          data: randomFloats(`${label} left`, M * K),
        },
        right: {
          shape: orientation === "nt" ? [N, K] : [K, N],
          data: randomFloats(`${label} right`, K * N),
        },
      },
      outputs: {
        output: {
          shape: [M, N],
          ...(accumulate ? { initial: randomFloats(`${label} output`, M * N) } : {}),
          terms: K,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.matmul({
          left: tensor("left"),
          right: tensor("right"),
          output: tensor("output"),
          orientation,
          ...(index > 1 ? { scale: 0.75 } : {}),
          ...(accumulate ? { accumulate } : {}),
        }),
    };
  });
}

/** `columnSum`, also over more rows than a workgroup and more columns than a grid dimension holds. */
export function columnSumCases(): Case[] {
  const shapes: readonly [number, number][] = [[1, 1], [3, 65], [65, 7], [1030, 33], [
    2,
    65_536 + 77,
  ]];
  return shapes.map(([M, N]) => {
    const label = `columnSum M=${M} N=${N}`;
    return {
      label,
      inputs: { input: { shape: [M, N], data: randomFloats(label, M * N) } },
      outputs: {
        output: {
          shape: [N],
          initial: randomFloats(`${label} output`, N),
          terms: M,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.columnSum({ input: tensor("input"), output: tensor("output") }),
    };
  });
}

/** Shapes of one format, `[M, K, N]`; blocks as the format allows. */
function linearShapes(format: WeightFormat): LinearShape[] {
  switch (format) {
    case "dense":
      return [[1, 1, 1], [3, 7, 31], [33, 65, 7], [65, 33, 65], [7, 128, 96]]
        .map(([M = 1, K = 1, N = 1]) => ({ M, weight: randomDense(`dense ${K} ${N}`, N, K) }));
    case "nf4":
    case "nf4 double": {
      const absmax = format === "nf4" ? "plain" : "double";
      // The last shape has 260 blocks: more than share one second-level scale.
      return [[1, 64, 1], [3, 64, 31], [33, 192, 7], [7, 128, 130]].map((
        [M = 1, K = 1, N = 1],
      ) => ({ M, weight: randomNf4(`${format} ${K} ${N}`, N, K, absmax) }));
    }
    case "codebook":
      return [[1, 32, 1, 32], [3, 192, 31, 64], [33, 96, 40, 32], [65, 128, 7, 128]].map((
        [M = 1, K = 1, N = 1, block = 1],
      ) => ({ M, weight: randomCodebook(`codebook ${K} ${N}`, N, K, block) }));
    default: {
      const bits = Number(format.slice("integer".length)) as IntegerBits;
      const shapes: [number, number, number, number, number][] = [
        [1, 32, 1, 1, 32],
        [3, 192, 31, 1, 64],
        [7, 36, 8, 8, 4],
        [65, 64, 40, 8, 32],
      ];
      // Kernels are compiled per shape, which takes most of the time: one width gets the rest.
      // The last is a head with more rows than one grid dimension has workgroups.
      if (bits === 4) {
        shapes.push([33, 96, 33, 1, 32], [31, 128, 7, 7, 16], [1, 32, 65_536 + 77, 1, 32]);
      }
      return shapes.map(([M, K, N, blockRows, blockColumns]) => ({
        M,
        weight: randomInteger(`${format} ${K} ${N}`, N, K, bits, blockRows, blockColumns),
      }));
    }
  }
}

function describe(M: number | null, weight: WeightData): string {
  const blocks = weight.format === "integer"
    ? ` blocks ${weight.blockRows}x${weight.blockColumns}`
    : "";
  return `${M === null ? "" : `M=${M} `}K=${weight.columns} N=${weight.rows}${blocks}`;
}
