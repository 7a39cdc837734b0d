/**
 * Conformance cases of the pooled low-rank adapter.
 *
 * @module
 */

import type { LowRank } from "../device.ts";
import { lowRank } from "../reference/low_rank.ts";
import { randomFloats } from "./arrays.ts";
import type { Case, Input, Lookup } from "./case.ts";

interface AdapterShape {
  readonly M: number;
  readonly K: number;
  readonly N: number;
  /** 0 stands for the identity instead of A. */
  readonly rank: number;
  readonly pool: number;
  readonly repeat: number;
  readonly rate?: number;
}

const SCALE = 0.5;
const KEY = Uint32Array.of(0x12345678, 0x9abcdef0);
const STREAM = 5;

const SHAPES: readonly AdapterShape[] = [
  { M: 1, K: 1, N: 1, rank: 1, pool: 1, repeat: 1 },
  { M: 33, K: 65, N: 31, rank: 3, pool: 1, repeat: 1 },
  { M: 7, K: 64, N: 33, rank: 16, pool: 32, repeat: 1 },
  { M: 65, K: 64, N: 66, rank: 8, pool: 2, repeat: 2 },
  { M: 3, K: 96, N: 40, rank: 7, pool: 32, repeat: 8 },
  { M: 31, K: 36, N: 33, rank: 0, pool: 4, repeat: 1 },
  { M: 5, K: 64, N: 64, rank: 0, pool: 8, repeat: 8 },
  { M: 9, K: 64, N: 48, rank: 64, pool: 1, repeat: 4, rate: 0.5 },
  { M: 33, K: 65, N: 31, rank: 3, pool: 1, repeat: 1, rate: 0.25 },
  { M: 7, K: 64, N: 32, rank: 16, pool: 4, repeat: 32, rate: 0.125 },
  { M: 31, K: 36, N: 33, rank: 0, pool: 4, repeat: 1, rate: 0.5 },
];

/** `lowRank` over pools, repeats, ranks and dropout rates. */
export function lowRankCases(): Case[] {
  return SHAPES.map((shape) => {
    const { M, N } = shape;
    const label = describe("lowRank", shape);
    const { inputs, hiddenSize, terms } = adapterInputs(label, shape);
    return {
      label,
      inputs,
      outputs: {
        hidden: { shape: [M, hiddenSize], terms, magnitude: "absolute" },
        output: {
          shape: [M, N],
          initial: randomFloats(`${label} output`, M * N),
          terms,
          magnitude: "absolute",
        },
      },
      record: (operations, tensor) =>
        operations.lowRank({
          ...adapter(shape, tensor),
          hidden: tensor("hidden"),
          output: tensor("output"),
        }),
    };
  });
}

/** Which gradients {@linkcode Operations.lowRankBackward} is asked for. */
type Wanted = "all" | "B" | "the input";

/** `lowRankBackward`, with all gradients, that of B only, and that of the input only. */
export function lowRankBackwardCases(): Case[] {
  const some = [SHAPES[3], SHAPES[9]].flatMap((shape) => shape ? [shape] : []);
  const frozen = [...some, SHAPES[1], SHAPES[5]].flatMap((shape) => shape ? [shape] : []);
  return [
    ...SHAPES.map((shape) => backwardCase(shape, "all")),
    ...some.map((shape) => backwardCase(shape, "B")),
    ...frozen.map((shape) => backwardCase(shape, "the input")),
  ];
}

function backwardCase(shape: AdapterShape, wanted: Wanted): Case {
  const { M, K, N, pool, repeat } = shape;
  const label = describe(`lowRankBackward of ${wanted}`, shape);
  const { inputs, hiddenSize: R, terms, hidden } = adapterInputs(label, shape);
  const P = K / pool;
  const Q = N / repeat;
  const gradient = (name: string, rows: number, columns: number) => ({
    shape: [rows, columns],
    initial: randomFloats(`${label} ${name}`, rows * columns),
    terms: terms + M + N,
    magnitude: "absolute" as const,
  });
  const hasGradA = wanted === "all" && shape.rank > 0;
  const hasGradB = wanted !== "the input";
  const hasGradInput = wanted !== "B";
  return {
    label,
    inputs: {
      ...inputs,
      hidden: { shape: [M, R], data: hidden },
      gradOutput: { shape: [M, N], data: randomFloats(`${label} gradOutput`, M * N) },
    },
    outputs: {
      ...(hasGradB ? { gradB: gradient("gradB", Q, R) } : {}),
      ...(hasGradA ? { gradA: gradient("gradA", R, P) } : {}),
      ...(hasGradInput ? { gradInput: gradient("gradInput", M, K) } : {}),
    },
    record: (operations, tensor) =>
      operations.lowRankBackward({
        ...adapter(shape, tensor),
        hidden: tensor("hidden"),
        gradOutput: tensor("gradOutput"),
        gradA: hasGradA ? tensor("gradA") : null,
        gradB: hasGradB ? tensor("gradB") : null,
        gradInput: hasGradInput ? tensor("gradInput") : null,
      }),
  };
}

/** Inputs of an adapter, its hidden state as the reference computes it, rounded to f32. */
function adapterInputs(label: string, shape: AdapterShape): {
  inputs: Record<string, Input>;
  hidden: Float32Array;
  hiddenSize: number;
  terms: number;
} {
  const { M, K, N, rank, pool, repeat, rate } = shape;
  const P = K / pool;
  const Q = N / repeat;
  const R = rank || P;
  const input = randomFloats(`${label} input`, M * K);
  const a = rank ? randomFloats(`${label} a`, R * P) : null;
  const b = randomFloats(`${label} b`, Q * R);
  const hidden = new Float64Array(M * R);
  lowRank(
    Float64Array.from(input),
    a && Float64Array.from(a),
    Float64Array.from(b),
    hidden,
    new Float64Array(M * N),
    { M, K, N, R, P, Q },
    { pool, repeat, scale: SCALE, mask: rate ? { rate, key: KEY, stream: STREAM } : null },
  );
  return {
    inputs: {
      input: { shape: [M, K], data: input },
      ...(a ? { a: { shape: [R, P], data: a } } : {}),
      b: { shape: [Q, R], data: b },
      ...(rate ? { key: { shape: [2], data: KEY } } : {}),
    },
    hidden: Float32Array.from(hidden),
    hiddenSize: R,
    terms: pool + P + R,
  };
}

function adapter({ rank, pool, repeat, rate }: AdapterShape, tensor: Lookup): LowRank {
  return {
    input: tensor("input"),
    a: rank ? tensor("a") : null,
    b: tensor("b"),
    pool,
    repeat,
    scale: SCALE,
    ...(rate ? { dropout: { rate, key: tensor("key"), stream: STREAM } } : {}),
  };
}

function describe(operation: string, { M, K, N, rank, pool, repeat, rate }: AdapterShape): string {
  const a = rank ? `R=${rank}` : "a=null";
  return `${operation} M=${M} K=${K} N=${N} ${a} pool=${pool} repeat=${repeat} dropout=${
    rate ?? "none"
  }`;
}
