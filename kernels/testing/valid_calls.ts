/**
 * Calls whose shapes fit, for tests of the checks in `shapes.ts`.
 *
 * @module
 */

import {
  type CodebookWeight,
  type DType,
  type IntegerWeight,
  type Nf4Weight,
  sizeOf,
  type Tensor,
} from "../device.ts";
import * as shapes from "../shapes.ts";

/** A handle without memory: shape checks read nothing else. */
export function tensor(label: string, shape: readonly number[], dtype: DType = "f32"): Tensor {
  return { dtype, shape, size: sizeOf(shape), label };
}

/** A 3-bit weight in blocks of 2 x 32. */
export const integer: IntegerWeight = {
  format: "integer",
  rows: 8,
  columns: 64,
  bits: 3,
  blockRows: 2,
  blockColumns: 32,
  codes: tensor("codes", [8, 6], "u32"),
  scales: tensor("scales", [4, 2]),
  zeros: tensor("zeros", [4, 2]),
};

/** An NF4 weight. */
export const nf4: Nf4Weight = {
  format: "nf4",
  rows: 8,
  columns: 64,
  codes: tensor("codes", [8, 8], "u32"),
  absmax: { kind: "plain", values: tensor("absmax", [8]) },
};

const doubleNf4: Nf4Weight = {
  ...nf4,
  absmax: {
    kind: "double",
    codes: tensor("absmax codes", [2], "u32"),
    scales: tensor("absmax scales", [1]),
    offset: tensor("offset", [1]),
  },
};

/** A codebook weight in blocks of 32. */
export const codebook: CodebookWeight = {
  format: "codebook",
  rows: 8,
  columns: 64,
  blockColumns: 32,
  codes: tensor("codes", [8, 6], "u32"),
  levels: tensor("levels", [8, 2, 8]),
};

/** An adapter, but for its output. */
export const adapter = {
  input: tensor("input", [3, 32]),
  a: tensor("a", [5, 8]),
  b: tensor("b", [6, 5]),
  pool: 4,
  repeat: 2,
  scale: 0.5,
  dropout: { rate: 0.5, key: tensor("key", [2], "u32"), stream: 1 },
  hidden: tensor("hidden", [3, 5]),
};

/** An attention of grouped queries. */
export const attention = {
  batch: 2,
  length: 3,
  heads: 4,
  kvHeads: 2,
  headDim: 8,
  scale: 1,
  queries: tensor("queries", [6, 32]),
  keys: tensor("keys", [6, 16]),
  values: tensor("values", [6, 16]),
  output: tensor("output", [6, 32]),
  logSumExp: tensor("logSumExp", [6, 4]),
};

/** A clipped grid. */
export const clipped = {
  weight: tensor("weight", [3, 32]),
  upper: tensor("upper", [3, 2]),
  lower: tensor("lower", [6]),
  groupSize: 16,
  bits: 3,
  symmetric: true,
  containsZero: false,
} as const;

const linear = { input: tensor("input", [3, 64]), output: tensor("output", [3, 8]) };

/** A check, arguments that pass it, and the dimensions that it finds. */
export interface ValidCall {
  /** Of the operation, as errors begin. */
  readonly name: string;
  /** Throws if the arguments do not fit. */
  check(args: unknown): unknown;
  /** What fits. */
  readonly args: object;
  /** What the check returns. */
  readonly dimensions: object;
}

function valid<Args extends object>(
  name: string,
  check: (args: Args) => unknown,
  args: Args,
  dimensions: object,
): ValidCall {
  return { name, check: (changed) => check(changed as Args), args, dimensions };
}

/** Calls that fit, one per operation and format. */
export const VALID_CALLS: readonly ValidCall[] = [
  valid("copy", shapes.checkCopy, {
    input: tensor("input", [3, 4]),
    output: tensor("output", [12]),
  }, { size: 12 }),
  valid("add", shapes.checkAdd, {
    left: tensor("left", [3, 4]),
    right: tensor("right", [12]),
    output: tensor("output", [12]),
  }, { size: 12 }),
  valid("linear", shapes.checkLinear, {
    ...linear,
    weight: integer,
    bias: tensor("bias", [8]),
  }, { M: 3, K: 64, N: 8 }),
  valid("linear", shapes.checkLinear, { ...linear, weight: nf4 }, { M: 3, K: 64, N: 8 }),
  valid("linear", shapes.checkLinear, { ...linear, weight: doubleNf4 }, { M: 3, K: 64, N: 8 }),
  valid("linear", shapes.checkLinear, { ...linear, weight: codebook }, { M: 3, K: 64, N: 8 }),
  valid("linearTransposed", shapes.checkLinearTransposed, {
    gradOutput: tensor("gradOutput", [3, 8]),
    weight: integer,
    gradInput: tensor("gradInput", [3, 64]),
  }, { M: 3, K: 64, N: 8 }),
  ...(["nn", "nt", "tn"] as const).map((orientation) =>
    valid("matmul", shapes.checkMatmul, {
      left: tensor("left", orientation === "tn" ? [5, 3] : [3, 5]),
      right: tensor("right", orientation === "nt" ? [7, 5] : [5, 7]),
      output: tensor("output", [3, 7]),
      orientation,
    }, { M: 3, K: 5, N: 7 })
  ),
  valid("columnSum", shapes.checkColumnSum, {
    input: tensor("input", [3, 5]),
    output: tensor("output", [5]),
  }, { M: 3, N: 5 }),
  valid("dequantize", shapes.checkDequantize, {
    weight: { format: "dense", rows: 3, columns: 5, values: tensor("values", [3, 5]) },
    output: tensor("output", [3, 5]),
  }, { rows: 3, columns: 5 }),
  valid("lowRank", shapes.checkLowRank, {
    ...adapter,
    output: tensor("output", [3, 12]),
  }, { M: 3, K: 32, N: 12, R: 5, P: 8, Q: 6 }),
  valid("lowRank", shapes.checkLowRank, {
    ...adapter,
    a: null,
    b: tensor("b", [6, 8]),
    hidden: tensor("hidden", [3, 8]),
    output: tensor("output", [3, 12]),
  }, { M: 3, K: 32, N: 12, R: 8, P: 8, Q: 6 }),
  valid("lowRankBackward", shapes.checkLowRankBackward, {
    ...adapter,
    gradOutput: tensor("gradOutput", [3, 12]),
    gradA: tensor("gradA", [5, 8]),
    gradB: tensor("gradB", [6, 5]),
    gradInput: tensor("gradInput", [3, 32]),
  }, { M: 3, K: 32, N: 12, R: 5, P: 8, Q: 6 }),
  valid("linearGroup", shapes.checkLinearGroup, {
    input: tensor("input", [3, 64]),
    layers: [
      { weight: integer, bias: tensor("bias", [8]), output: tensor("queries", [3, 8]) },
      {
        weight: nf4,
        output: tensor("keys", [3, 8]),
        adapter: {
          a: tensor("a", [5, 64]),
          b: tensor("b", [8, 5]),
          hidden: tensor("hidden", [3, 5]),
          pool: 1,
          repeat: 1,
          scale: 1,
        },
      },
    ],
  }, [{ M: 3, K: 64, N: 8 }, { M: 3, K: 64, N: 8 }]),
  valid("linearGroupTransposed", shapes.checkLinearGroupTransposed, {
    layers: [
      { weight: integer, gradOutput: tensor("gradQueries", [3, 8]) },
      { weight: nf4, gradOutput: tensor("gradKeys", [3, 8]) },
    ],
    gradInput: tensor("gradInput", [3, 64]),
  }, [{ M: 3, K: 64, N: 8 }, { M: 3, K: 64, N: 8 }]),
  valid("addRmsNorm", shapes.checkAddRmsNorm, {
    input: tensor("input", [3, 5]),
    residual: tensor("residual", [3, 5]),
    weight: tensor("weight", [5]),
    sum: tensor("sum", [3, 5]),
    output: tensor("output", [3, 5]),
    epsilon: 1e-5,
  }, { M: 3, D: 5 }),
  valid("embedding", shapes.checkEmbedding, {
    tokens: tensor("tokens", [3], "u32"),
    table: tensor("table", [7, 5]),
    output: tensor("output", [3, 5]),
  }, { T: 3, D: 5, V: 7 }),
  valid("embeddingBackward", shapes.checkEmbeddingBackward, {
    gradOutput: tensor("gradOutput", [3, 5]),
    order: tensor("order", [3], "u32"),
    offsets: tensor("offsets", [8], "u32"),
    gradTable: tensor("gradTable", [7, 5]),
  }, { T: 3, D: 5, V: 7 }),
  valid("rmsNorm", shapes.checkRmsNorm, {
    input: tensor("input", [3, 5]),
    weight: tensor("weight", [5]),
    output: tensor("output", [3, 5]),
    epsilon: 1e-5,
  }, { M: 3, D: 5 }),
  valid("rmsNormBackward", shapes.checkRmsNormBackward, {
    input: tensor("input", [3, 5]),
    weight: tensor("weight", [5]),
    gradOutput: tensor("gradOutput", [3, 5]),
    gradInput: tensor("gradInput", [3, 5]),
    gradWeight: tensor("gradWeight", [5]),
    epsilon: 1e-5,
  }, { M: 3, D: 5 }),
  valid("rope", shapes.checkRope, {
    values: tensor("values", [6, 20]),
    cosines: tensor("cosines", [3, 4]),
    sines: tensor("sines", [3, 4]),
    heads: 2,
    headDim: 10,
    length: 3,
    layout: "half",
  }, { T: 6, rotaryDim: 8 }),
  valid("attention", shapes.checkAttention, attention, { T: 6, window: 3 }),
  valid("attention", shapes.checkAttention, { ...attention, window: 2 }, { T: 6, window: 2 }),
  valid(
    "attention",
    shapes.checkAttention,
    { ...attention, starts: tensor("starts", [6], "u32") },
    { T: 6, window: 3 },
  ),
  valid("attentionBackward", shapes.checkAttentionBackward, {
    ...attention,
    window: 9,
    gradOutput: tensor("gradOutput", [6, 32]),
    gradQueries: tensor("gradQueries", [6, 32]),
    gradKeys: tensor("gradKeys", [6, 16]),
    gradValues: tensor("gradValues", [6, 16]),
  }, { T: 6, window: 3 }),
  valid("swiglu", shapes.checkSwiglu, {
    gate: tensor("gate", [3, 5]),
    up: tensor("up", [3, 5]),
    output: tensor("output", [3, 5]),
  }, { size: 15 }),
  valid("swigluBackward", shapes.checkSwigluBackward, {
    gate: tensor("gate", [3, 5]),
    up: tensor("up", [3, 5]),
    gradOutput: tensor("gradOutput", [3, 5]),
    gradGate: tensor("gradGate", [3, 5]),
    gradUp: tensor("gradUp", [3, 5]),
  }, { size: 15 }),
  valid("crossEntropy", shapes.checkCrossEntropy, {
    hidden: tensor("hidden", [3, 5]),
    head: { format: "dense", rows: 7, columns: 5, values: tensor("head", [7, 5]) },
    targets: tensor("targets", [3], "u32"),
    weights: tensor("weights", [3]),
    losses: tensor("losses", [3]),
    gradHidden: tensor("gradHidden", [3, 5]),
    gradHead: tensor("gradHead", [7, 5]),
  }, { T: 3, D: 5, V: 7 }),
  valid("weightedSum", shapes.checkWeightedSum, {
    values: tensor("values", [3]),
    weights: tensor("weights", [3]),
    output: tensor("output", [1]),
  }, { size: 3 }),
  valid("squaredError", shapes.checkSquaredError, {
    prediction: tensor("prediction", [3, 5]),
    target: tensor("target", [3, 5]),
    scale: 0.5,
    losses: tensor("losses", [3]),
    gradient: tensor("gradient", [3, 5]),
  }, { M: 3, N: 5 }),
  valid("clippedQuantize", shapes.checkClippedQuantize, {
    ...clipped,
    output: tensor("output", [3, 32]),
  }, { rows: 3, columns: 32, groups: 6 }),
  valid("clippedQuantizeBackward", shapes.checkClippedQuantizeBackward, {
    ...clipped,
    gradOutput: tensor("gradOutput", [3, 32]),
    gradUpper: tensor("gradUpper", [6]),
    gradLower: tensor("gradLower", [6, 1]),
  }, { rows: 3, columns: 32, groups: 6 }),
  valid("gatherColumns", shapes.checkGatherColumns, {
    input: tensor("input", [3, 5]),
    order: tensor("order", [4], "u32"),
    output: tensor("output", [3, 4]),
  }, { M: 3, K: 5, C: 4 }),
  valid("scatterColumns", shapes.checkScatterColumns, {
    input: tensor("input", [3, 4]),
    order: tensor("order", [4], "u32"),
    output: tensor("output", [3, 5]),
  }, { M: 3, K: 5, C: 4 }),
  valid("adamw", shapes.checkAdamw, {
    parameters: tensor("parameters", [3, 5]),
    gradients: tensor("gradients", [15]),
    moment1: tensor("moment1", [15]),
    moment2: tensor("moment2", [15]),
    hyper: tensor("hyper", [8]),
    norm: tensor("norm", [2]),
  }, { size: 15 }),
];
