/**
 * Conformance cases of operations that do in one pass what others do in several.
 *
 * @module
 */

import type { GroupedLinear } from "../device.ts";
import { randomFloats } from "./arrays.ts";
import type { Case, Input, Lookup, Output } from "./case.ts";
import {
  randomCodebook,
  randomDense,
  randomInteger,
  randomNf4,
  type WeightData,
} from "./weights.ts";

const EPSILON = Math.fround(1e-5);
const KEY = Uint32Array.of(0x12345678, 0x9abcdef0);

/** An adapter on a layer of a group. */
interface Adapter {
  readonly rank: number;
  readonly pool?: number;
  readonly repeat?: number;
  readonly rate?: number;
}

interface Layer {
  readonly weight: WeightData;
  readonly adapter?: Adapter;
  readonly bias?: boolean;
}

interface Group {
  readonly name: string;
  readonly M: number;
  readonly layers: readonly Layer[];
}

/**
 * Groups as models have them (one layer with its adapter; queries, keys and values; a layer without
 * an adapter among others) and with what cannot be computed in one pass (repeats, an identity for A).
 */
function groups(): Group[] {
  const int4 = (N: number, K: number) => randomInteger(`grouped ${N}`, N, K, 4, 1, 32);
  return [
    {
      name: "one int4",
      M: 33,
      layers: [{ weight: int4(40, 64), adapter: { rank: 3 }, bias: true }],
    },
    {
      name: "int4",
      M: 17,
      layers: [
        { weight: int4(64, 96), adapter: { rank: 8 } },
        { weight: int4(32, 96), adapter: { rank: 8 } },
        { weight: int4(36, 96), adapter: { rank: 8 } },
      ],
    },
    {
      name: "mixed formats",
      M: 65,
      layers: [
        { weight: randomDense("grouped dense", 7, 64), bias: true },
        { weight: randomNf4("grouped nf4", 31, 64, "plain"), adapter: { rank: 16, pool: 32 } },
        { weight: int4(130, 64), adapter: { rank: 4, rate: 0.5 }, bias: true },
        { weight: randomCodebook("grouped codebook", 20, 64, 32), adapter: { rank: 2 } },
      ],
    },
    {
      name: "repeats and identities",
      M: 3,
      layers: [
        { weight: randomInteger("grouped", 32, 64, 2, 8, 32), adapter: { rank: 0, pool: 8 } },
        { weight: int4(48, 64), adapter: { rank: 5, pool: 2, repeat: 8 } },
      ],
    },
  ];
}

/** `linearGroup`, overwriting and accumulating. */
export function linearGroupCases(): Case[] {
  return groups().map(({ name, M, layers }, index) => {
    const accumulate = index % 2 === 0;
    const label = `linearGroup ${name} M=${M}${accumulate ? " accumulate" : ""}`;
    const K = layers[0]?.weight.columns ?? 0;
    const inputs: Record<string, Input> = {
      input: { shape: [M, K], data: randomFloats(label, M * K) },
      key: { shape: [2], data: KEY },
    };
    const outputs: Record<string, Output> = {};
    layers.forEach(({ weight: { rows: N }, adapter, bias }, i) => {
      const random = (tensor: string, ...shape: number[]) => ({
        shape,
        data: randomFloats(`${label} ${tensor} ${i}`, shape.reduce((size, n) => size * n, 1)),
      });
      if (bias) inputs[`bias${i}`] = random("bias", N);
      let terms = K;
      if (adapter) {
        const { rank, pool = 1, repeat = 1 } = adapter;
        const R = rank || K / pool;
        if (rank > 0) inputs[`a${i}`] = random("a", R, K / pool);
        inputs[`b${i}`] = random("b", N / repeat, R);
        terms += K + R;
        outputs[`hidden${i}`] = { shape: [M, R], terms: K, magnitude: "absolute" };
      }
      outputs[`output${i}`] = {
        shape: [M, N],
        ...(accumulate ? { initial: random("output", M, N).data } : {}),
        terms,
        magnitude: "absolute",
      };
    });
    return {
      label,
      weights: layers.map(({ weight }) => weight),
      inputs,
      outputs,
      record: (operations, tensor, _, weights) =>
        operations.linearGroup({
          input: tensor("input"),
          layers: layers.map(({ adapter, bias }, i): GroupedLinear => ({
            weight: weights[i] as GroupedLinear["weight"],
            output: tensor(`output${i}`),
            ...(bias ? { bias: tensor(`bias${i}`) } : {}),
            ...(adapter ? { adapter: groupedAdapter(adapter, tensor, i) } : {}),
          })),
          accumulate,
        }),
    };
  });
}

function groupedAdapter(
  { rank, pool = 1, repeat = 1, rate }: Adapter,
  tensor: Lookup,
  i: number,
): NonNullable<GroupedLinear["adapter"]> {
  return {
    a: rank > 0 ? tensor(`a${i}`) : null,
    b: tensor(`b${i}`),
    hidden: tensor(`hidden${i}`),
    pool,
    repeat,
    scale: 0.5,
    ...(rate === undefined ? {} : { dropout: { rate, key: tensor("key"), stream: i } }),
  };
}

/** `linearGroupTransposed`, overwriting and accumulating. */
export function linearGroupTransposedCases(): Case[] {
  return groups().map(({ name, M, layers }, index) => {
    const accumulate = index % 2 === 1;
    const label = `linearGroupTransposed ${name} M=${M}${accumulate ? " accumulate" : ""}`;
    const K = layers[0]?.weight.columns ?? 0;
    const gradients = layers.map(({ weight: { rows: N } }, i): [string, Input] => [
      `gradOutput${i}`,
      { shape: [M, N], data: randomFloats(`${label} ${i}`, M * N) },
    ]);
    return {
      label,
      weights: layers.map(({ weight }) => weight),
      inputs: Object.fromEntries(gradients),
      outputs: {
        gradInput: {
          shape: [M, K],
          ...(accumulate ? { initial: randomFloats(`${label} gradInput`, M * K) } : {}),
          terms: layers.reduce((sum, { weight }) => sum + weight.rows, 0),
          magnitude: "absolute",
        },
      },
      record: (operations, tensor, _, weights) =>
        operations.linearGroupTransposed({
          layers: weights.map((weight, i) => ({ weight, gradOutput: tensor(`gradOutput${i}`) })),
          gradInput: tensor("gradInput"),
          accumulate,
        }),
    };
  });
}

/** `addRmsNorm`, also with the sum in place of an operand. */
export function addRmsNormCases(): Case[] {
  const shapes: readonly [number, number][] = [[1, 1], [3, 7], [33, 64], [5, 1028]];
  return shapes.map(([M, D], index) => {
    const inPlace = index % 2 === 1;
    const label = `addRmsNorm M=${M} D=${D}${inPlace ? " in place" : ""}`;
    const random = (name: string, size: number) => randomFloats(`${label} ${name}`, size);
    const input = random("input", M * D);
    const residual = random("residual", M * D);
    const weight = random("weight", D);
    return {
      label,
      inputs: {
        input: { shape: [M, D], data: input },
        weight: { shape: [D], data: weight },
        ...(inPlace ? {} : { residual: { shape: [M, D], data: residual } }),
      },
      outputs: {
        sum: {
          shape: [M, D],
          ...(inPlace ? { initial: residual } : {}),
          terms: 2,
          magnitude: "absolute",
        },
        output: {
          shape: [M, D],
          terms: D,
          magnitude: sumNormMagnitudes(input, residual, weight),
        },
      },
      record: (operations, tensor) =>
        operations.addRmsNorm({
          input: tensor("input"),
          residual: tensor(inPlace ? "sum" : "residual"),
          weight: tensor("weight"),
          sum: tensor("sum"),
          output: tensor("output"),
          epsilon: EPSILON,
        }),
    };
  });
}

/**
 * `(|x| + |r|) |w| / rms(x + r)`: where x and r cancel, the rounding of their sum is large against it.
 */
function sumNormMagnitudes(
  input: Float32Array,
  residual: Float32Array,
  weight: Float32Array,
): Float64Array {
  const D = weight.length;
  const at = (values: Float32Array, index: number) => values[index] as number;
  return Float64Array.from(input, (_, index) => {
    const first = index - index % D;
    let squares = 0;
    for (let i = first; i < first + D; i++) squares += (at(input, i) + at(residual, i)) ** 2;
    const size = Math.abs(at(input, index)) + Math.abs(at(residual, index));
    return size * Math.abs(at(weight, index % D)) / Math.sqrt(squares / D + EPSILON);
  });
}
