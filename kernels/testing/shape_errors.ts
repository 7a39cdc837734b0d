/**
 * Calls whose shapes do not fit, with what the error must say; every device refuses them when they
 * are recorded.
 *
 * @module
 */

import type { DType, IntegerWeight, Operations, Tensor } from "../device.ts";

/** Makes a tensor that is labelled by its name. */
export type Maker = (name: string, shape: readonly number[], dtype?: DType) => Tensor;

/** A call that must be refused. */
export interface BadCall {
  /** What is wrong, in words. */
  readonly label: string;
  /** What the RangeError says. */
  readonly message: RegExp;
  /** The call. */
  call(operations: Operations, tensor: Maker): void;
}

/** One bad call per requirement of `shapes.ts` that a caller is likely to break. */
export const BAD_CALLS: readonly BadCall[] = [
  {
    label: "fill of words by a fraction",
    message: /^fill: "words" holds u32, but the value is 1\.5; pass an integer/,
    call: (operations, tensor) =>
      operations.fill({ output: tensor("words", [4], "u32"), value: 1.5 }),
  },
  {
    label: "copy between sizes",
    message:
      /^copy: output "short" has 3 elements \(shape \[3\]\), but 4 are needed, the size of input$/,
    call: (operations, tensor) =>
      operations.copy({ input: tensor("long", [4]), output: tensor("short", [3]) }),
  },
  {
    label: "copy between types",
    message: /^copy: output "floats" holds f32, but u32 is needed$/,
    call: (operations, tensor) =>
      operations.copy({ input: tensor("words", [4], "u32"), output: tensor("floats", [4]) }),
  },
  {
    label: "add of unequal sizes",
    message: /^add: right "right" has 5 elements/,
    call: (operations, tensor) =>
      operations.add({
        left: tensor("left", [4]),
        right: tensor("right", [5]),
        output: tensor("output", [4]),
      }),
  },
  {
    label: "linear with too few input features",
    message: /^linear: input "x" has shape \[3, 31\], but \[3, 32\] is needed$/,
    call: (operations, tensor) =>
      operations.linear({
        input: tensor("x", [3, 31]),
        weight: integerWeight(tensor),
        output: tensor("y", [3, 8]),
      }),
  },
  {
    label: "linear with a long bias",
    message: /^linear: bias "bias" has shape \[9\], but \[8\] is needed$/,
    call: (operations, tensor) =>
      operations.linear({
        input: tensor("x", [3, 32]),
        weight: integerWeight(tensor),
        bias: tensor("bias", [9]),
        output: tensor("y", [3, 8]),
      }),
  },
  {
    label: "an integer weight whose group size does not divide",
    message: /^linear: blockColumns \(the group size\), 24, does not divide weight columns, 32$/,
    call: (operations, tensor) =>
      operations.linear({
        input: tensor("x", [3, 32]),
        weight: { ...integerWeight(tensor), blockColumns: 24 },
        output: tensor("y", [3, 8]),
      }),
  },
  {
    label: "an integer weight whose codes have another width",
    message: /^dequantize: weight codes "codes" has shape \[8, 4\], but \[8, 3\] is needed$/,
    call: (operations, tensor) =>
      operations.dequantize({
        weight: { ...integerWeight(tensor), bits: 3 },
        output: tensor("y", [8, 32]),
      }),
  },
  {
    label: "an NF4 weight of 32 columns",
    message: /^linearTransposed: the NF4 block, 64, does not divide weight columns, 32$/,
    call: (operations, tensor) =>
      operations.linearTransposed({
        gradOutput: tensor("dy", [3, 8]),
        weight: {
          format: "nf4",
          rows: 8,
          columns: 32,
          codes: tensor("codes", [8, 4], "u32"),
          absmax: { kind: "plain", values: tensor("absmax", [4]) },
        },
        gradInput: tensor("dx", [3, 32]),
      }),
  },
  {
    label: "matmul with unequal inner dimensions",
    message:
      /^matmul nt: left "left" \[3, 4\] and right "right" \[4, 5\] do not share .*: 4 against 5$/,
    call: (operations, tensor) =>
      operations.matmul({
        left: tensor("left", [3, 4]),
        right: tensor("right", [4, 5]),
        output: tensor("output", [3, 4]),
        orientation: "nt",
      }),
  },
  {
    label: "matmul of a vector",
    message: /^matmul: left "vector" has shape \[4\], but a matrix \(two dimensions\) is needed$/,
    call: (operations, tensor) =>
      operations.matmul({
        left: tensor("vector", [4]),
        right: tensor("right", [4, 5]),
        output: tensor("output", [1, 5]),
        orientation: "nn",
      }),
  },
  {
    label: "columnSum into rows",
    message: /^columnSum: output "sums" has shape \[3\], but \[4\] is needed$/,
    call: (operations, tensor) =>
      operations.columnSum({ input: tensor("x", [3, 4]), output: tensor("sums", [3]) }),
  },
  {
    label: "linearGroup of nothing",
    message: /^linearGroup: layers is empty; pass at least one$/,
    call: (operations, tensor) =>
      operations.linearGroup({ input: tensor("x", [3, 4]), layers: [] }),
  },
  {
    label: "linearGroup whose layers write to one tensor",
    message: /^linearGroup: two layers have the output "y"; each needs its own$/,
    call: (operations, tensor) => {
      const values = tensor("values", [5, 4]);
      const weight = { format: "dense", rows: 5, columns: 4, values } as const;
      const output = tensor("y", [3, 5]);
      operations.linearGroup({
        input: tensor("x", [3, 4]),
        layers: [{ weight, output }, { weight, output }],
      });
    },
  },
  {
    label: "lowRank whose pool does not divide",
    message: /^lowRank: pool, 5, does not divide the input features, 32$/,
    call: (operations, tensor) => operations.lowRank({ ...lowRank(tensor), pool: 5 }),
  },
  {
    label: "lowRank whose B has another rank",
    message: /^lowRank: b "b" has shape \[4, 2\], but \[4, 3\] is needed$/,
    call: (operations, tensor) =>
      operations.lowRank({ ...lowRank(tensor), b: tensor("b", [4, 2]) }),
  },
  {
    label: "lowRank with a dropout rate of 1",
    message: /^lowRank: the dropout rate is 1; it must be in \[0, 1\)$/,
    call: (operations, tensor) =>
      operations.lowRank({
        ...lowRank(tensor),
        dropout: { rate: 1, key: tensor("key", [2], "u32"), stream: 0 },
      }),
  },
  {
    label: "lowRankBackward with a gradient of the identity",
    message: /^lowRankBackward: gradA is given, but a is null; pass gradA: null$/,
    call: (operations, tensor) =>
      operations.lowRankBackward({
        ...lowRank(tensor),
        a: null,
        b: tensor("b", [4, 8]),
        hidden: tensor("hidden", [3, 8]),
        gradOutput: tensor("dy", [3, 8]),
        gradA: tensor("dA", [8, 8]),
        gradB: tensor("dB", [4, 8]),
        gradInput: null,
      }),
  },
  {
    label: "embedding of float tokens",
    message: /^embedding: tokens "tokens" holds f32, but u32 is needed$/,
    call: (operations, tensor) =>
      operations.embedding({
        tokens: tensor("tokens", [3]),
        table: tensor("table", [5, 4]),
        output: tensor("output", [3, 4]),
      }),
  },
  {
    label: "embeddingBackward without the last offset",
    message: /^embeddingBackward: offsets "offsets" has shape \[5\], but \[6\] is needed$/,
    call: (operations, tensor) =>
      operations.embeddingBackward({
        gradOutput: tensor("dy", [3, 4]),
        order: tensor("order", [3], "u32"),
        offsets: tensor("offsets", [5], "u32"),
        gradTable: tensor("dTable", [5, 4]),
      }),
  },
  {
    label: "rmsNorm with a long weight",
    message: /^rmsNorm: weight "weight" has shape \[5\], but \[4\] is needed$/,
    call: (operations, tensor) =>
      operations.rmsNorm({
        input: tensor("x", [3, 4]),
        weight: tensor("weight", [5]),
        output: tensor("y", [3, 4]),
        epsilon: 1e-5,
      }),
  },
  {
    label: "rmsNormBackward with a flat gradient",
    message: /^rmsNormBackward: gradOutput "dy" has shape \[12\], but \[3, 4\] is needed$/,
    call: (operations, tensor) =>
      operations.rmsNormBackward({
        input: tensor("x", [3, 4]),
        weight: tensor("weight", [4]),
        gradOutput: tensor("dy", [12]),
        gradInput: tensor("dx", [3, 4]),
        gradWeight: null,
        epsilon: 1e-5,
      }),
  },
  {
    label: "rope beyond its table",
    message: /^rope: cosines "cosines" has 4 positions, but the length is 5$/,
    call: (operations, tensor) =>
      operations.rope({
        values: tensor("values", [5, 8]),
        cosines: tensor("cosines", [4, 2]),
        sines: tensor("sines", [4, 2]),
        heads: 2,
        headDim: 4,
        length: 5,
        layout: "half",
      }),
  },
  {
    label: "attention whose key heads do not divide",
    message: /^attention: kvHeads, 2, does not divide heads, 3$/,
    call: (operations, tensor) =>
      operations.attention({
        ...attention(tensor, 3, 2),
        output: tensor("o", [6, 12]),
        logSumExp: tensor("lse", [6, 3]),
      }),
  },
  {
    label: "attention whose tokens are not batch times length",
    message: /^attention: queries "q" has shape \[6, 8\], but \[8, 8\] is needed$/,
    call: (operations, tensor) =>
      operations.attention({
        ...attention(tensor, 2, 1),
        length: 4,
        output: tensor("o", [6, 8]),
        logSumExp: tensor("lse", [6, 2]),
      }),
  },
  {
    label: "attentionBackward with gradients of all heads",
    message: /^attentionBackward: gradKeys "dk" has shape \[6, 8\], but \[6, 4\] is needed$/,
    call: (operations, tensor) =>
      operations.attentionBackward({
        ...attention(tensor, 2, 1),
        output: tensor("o", [6, 8]),
        logSumExp: tensor("lse", [6, 2]),
        gradOutput: tensor("do", [6, 8]),
        gradQueries: tensor("dq", [6, 8]),
        gradKeys: tensor("dk", [6, 8]),
        gradValues: tensor("dv", [6, 4]),
      }),
  },
  {
    label: "swiglu of unequal sizes",
    message: /^swiglu: up "up" has 5 elements/,
    call: (operations, tensor) =>
      operations.swiglu({
        gate: tensor("gate", [4]),
        up: tensor("up", [5]),
        output: tensor("output", [4]),
      }),
  },
  {
    label: "swigluBackward into a short gradient",
    message: /^swigluBackward: gradUp "dUp" has 3 elements/,
    call: (operations, tensor) =>
      operations.swigluBackward({
        gate: tensor("gate", [4]),
        up: tensor("up", [4]),
        gradOutput: tensor("dy", [4]),
        gradGate: tensor("dGate", [4]),
        gradUp: tensor("dUp", [3]),
      }),
  },
  {
    label: "crossEntropy with a gradient of a packed head",
    message: /^crossEntropy: gradHead "dHead" is given, but the head is integer; only a dense/,
    call: (operations, tensor) =>
      operations.crossEntropy({
        hidden: tensor("hidden", [3, 32]),
        head: integerWeight(tensor),
        targets: tensor("targets", [3], "u32"),
        weights: tensor("weights", [3]),
        losses: tensor("losses", [3]),
        gradHead: tensor("dHead", [8, 32]),
      }),
  },
  {
    label: "weightedSum with too few weights",
    message: /^weightedSum: weights "weights" has 2 elements/,
    call: (operations, tensor) =>
      operations.weightedSum({
        values: tensor("values", [3]),
        weights: tensor("weights", [2]),
        output: tensor("output", [1]),
      }),
  },
  {
    label: "gradientNorm with a limit of 0",
    message: /^gradientNorm: maxNorm is 0; pass a positive number, or Infinity to not clip$/,
    call: (operations, tensor) =>
      operations.gradientNorm({
        gradients: [tensor("g", [3])],
        maxNorm: 0,
        output: tensor("norm", [2]),
      }),
  },
  {
    label: "adamw with seven hyper-parameters",
    message: /^adamw: hyper "hyper" has shape \[7\], but \[8\] is needed$/,
    call: (operations, tensor) =>
      operations.adamw({
        parameters: tensor("p", [3]),
        gradients: tensor("g", [3]),
        moment1: tensor("m", [3]),
        moment2: tensor("v", [3]),
        hyper: tensor("hyper", [7]),
        norm: tensor("norm", [2]),
      }),
  },
];

/** A 4-bit weight `[8, 32]` of groups of 16. */
function integerWeight(tensor: Maker): IntegerWeight {
  return {
    format: "integer",
    rows: 8,
    columns: 32,
    bits: 4,
    blockRows: 1,
    blockColumns: 16,
    codes: tensor("codes", [8, 4], "u32"),
    scales: tensor("scales", [8, 2]),
    zeros: tensor("zeros", [8, 2]),
  };
}

function lowRank(tensor: Maker) {
  return {
    input: tensor("x", [3, 32]),
    a: tensor("a", [3, 8]),
    b: tensor("b", [4, 3]),
    pool: 4,
    repeat: 2,
    scale: 1,
    hidden: tensor("hidden", [3, 3]),
    output: tensor("y", [3, 8]),
  };
}

function attention(tensor: Maker, heads: number, kvHeads: number) {
  return {
    batch: 2,
    length: 3,
    heads,
    kvHeads,
    headDim: 4,
    scale: 0.5,
    queries: tensor("q", [6, heads * 4]),
    keys: tensor("k", [6, kvHeads * 4]),
    values: tensor("v", [6, kvHeads * 4]),
  };
}
