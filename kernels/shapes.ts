/**
 * The shape checks of every operation, the same for all devices: one function per operation that
 * returns the resolved dimensions, named as in `device.ts`, or throws a RangeError that names the
 * operation, the tensor, what was found and what is needed.
 *
 * @module
 */

import {
  type AttentionShape,
  type ClippedGrid,
  CODEBOOK_LEVELS,
  type KeyValueCache,
  type LowRank,
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  type Operations,
  type Tensor,
  type Weight,
} from "./device.ts";
import { CHUNK, codeWords } from "./packing.ts";
import {
  divides,
  equalSizes,
  finite,
  isWord,
  matrix,
  need,
  needDType,
  needSize,
  positive,
  quote,
  rowsOf,
} from "./tensor_checks.ts";

/** The argument object of one operation. */
export type Arguments<Name extends keyof Operations> = Parameters<Operations[Name]>[0];

/** Rows, inputs and outputs of a linear layer. */
export interface LinearDimensions {
  /** Rows. */
  readonly M: number;
  /** Input features. */
  readonly K: number;
  /** Output features. */
  readonly N: number;
}

/** Dimensions of an adapter product. */
export interface LowRankDimensions extends LinearDimensions {
  /** Rank. */
  readonly R: number;
  /** Pooled input features, `K / pool`. */
  readonly P: number;
  /** Distinct output features, `N / repeat`. */
  readonly Q: number;
}

/** Dimensions of one attention. */
export interface AttentionDimensions {
  /** Tokens, `batch * length`. */
  readonly T: number;
  /** Resolved sliding window, at most `length`. */
  readonly window: number;
}

/** Dimensions of new tokens and a key-value cache. */
export interface CacheDimensions {
  /** Sequences. */
  readonly batch: number;
  /** New tokens of each sequence. */
  readonly length: number;
  /** Rows of the cache. */
  readonly rows: number;
  /** Positions of a row. */
  readonly capacity: number;
  /** Features of a position, `kvHeads * headDim`. */
  readonly width: number;
}

/** Dimensions of an embedding table or a language-model head over tokens. */
export interface VocabularyDimensions {
  /** Tokens. */
  readonly T: number;
  /** Features. */
  readonly D: number;
  /** Vocabulary. */
  readonly V: number;
}

/** Checks {@linkcode Operations.fill}. */
export function checkFill({ output, value }: Arguments<"fill">): { size: number } {
  if (output.dtype === "u32" && !isWord(value)) {
    throw new RangeError(
      `fill: ${quote(output)} holds u32, but the value is ${value}; pass an integer in [0, 2^32)`,
    );
  }
  return { size: output.size };
}

/** Checks {@linkcode Operations.copy}: equal sizes and types. */
export function checkCopy({ input, output }: Arguments<"copy">): { size: number } {
  needDType("copy", "output", output, input.dtype);
  needSize("copy", "output", output, input.size, "the size of input");
  return { size: input.size };
}

/** Checks {@linkcode Operations.add}: three f32 tensors of equal size. */
export function checkAdd({ left, right, output }: Arguments<"add">): { size: number } {
  return equalSizes("add", { left, right, output });
}

/** Checks {@linkcode Operations.linear}. */
export function checkLinear(
  { input, weight, bias, output }: Arguments<"linear">,
): LinearDimensions {
  checkWeight("linear", weight);
  const { rows: N, columns: K } = weight;
  const M = rowsOf("linear", "input", input, K);
  if (bias) need("linear", "bias", bias, "f32", [N]);
  need("linear", "output", output, "f32", [M, N]);
  return { M, K, N };
}

/** Checks {@linkcode Operations.linearTransposed}. */
export function checkLinearTransposed(
  { gradOutput, weight, gradInput }: Arguments<"linearTransposed">,
): LinearDimensions {
  checkWeight("linearTransposed", weight);
  const { rows: N, columns: K } = weight;
  const M = rowsOf("linearTransposed", "gradOutput", gradOutput, N);
  need("linearTransposed", "gradInput", gradInput, "f32", [M, K]);
  return { M, K, N };
}

/** Checks {@linkcode Operations.matmul}. */
export function checkMatmul(
  { left, right, output, orientation }: Arguments<"matmul">,
): LinearDimensions {
  const [leftRows, leftColumns] = matrix("matmul", "left", left);
  const [rightRows, rightColumns] = matrix("matmul", "right", right);
  const [M, K] = orientation === "tn" ? [leftColumns, leftRows] : [leftRows, leftColumns];
  const [inner, N] = orientation === "nt" ? [rightColumns, rightRows] : [rightRows, rightColumns];
  if (inner !== K) {
    throw new RangeError(
      `matmul ${orientation}: left ${quote(left)} [${left.shape.join(", ")}] and right ${
        quote(right)
      } ` +
        `[${right.shape.join(", ")}] do not share their inner dimension: ${K} against ${inner}`,
    );
  }
  need("matmul", "output", output, "f32", [M, N]);
  return { M, K, N };
}

/** Checks {@linkcode Operations.columnSum}. */
export function checkColumnSum(
  { input, output }: Arguments<"columnSum">,
): { M: number; N: number } {
  const [M, N] = matrix("columnSum", "input", input);
  need("columnSum", "output", output, "f32", [N]);
  return { M, N };
}

/** Checks {@linkcode Operations.dequantize}. */
export function checkDequantize(
  { weight, output }: Arguments<"dequantize">,
): { rows: number; columns: number } {
  checkWeight("dequantize", weight);
  need("dequantize", "output", output, "f32", [weight.rows, weight.columns]);
  return { rows: weight.rows, columns: weight.columns };
}

/** Checks {@linkcode Operations.lowRank}. */
export function checkLowRank(args: Arguments<"lowRank">): LowRankDimensions {
  return lowRankDimensions("lowRank", args, "output", args.output, args.hidden);
}

/** Checks {@linkcode Operations.lowRankBackward}. */
export function checkLowRankBackward(args: Arguments<"lowRankBackward">): LowRankDimensions {
  const operation = "lowRankBackward";
  const { a, gradA, gradB, gradInput } = args;
  const dimensions = lowRankDimensions(
    operation,
    args,
    "gradOutput",
    args.gradOutput,
    args.hidden,
  );
  const { M, K, R, P, Q } = dimensions;
  if (gradA) {
    if (!a) throw new RangeError(`${operation}: gradA is given, but a is null; pass gradA: null`);
    need(operation, "gradA", gradA, "f32", [R, P]);
  }
  if (gradB) need(operation, "gradB", gradB, "f32", [Q, R]);
  if (gradInput) need(operation, "gradInput", gradInput, "f32", [M, K]);
  return dimensions;
}

/** Checks {@linkcode Operations.linearGroup}: the dimensions of each layer. */
export function checkLinearGroup(
  { input, layers }: Arguments<"linearGroup">,
): LinearDimensions[] {
  const operation = "linearGroup";
  needLayers(operation, layers);
  distinct(operation, "output", layers.map(({ output }) => output));
  return layers.map(({ weight, bias, adapter, output }) => {
    checkWeight(operation, weight);
    const { rows: N, columns: K } = weight;
    const M = rowsOf(operation, "input", input, K);
    if (bias) need(operation, "bias", bias, "f32", [N]);
    need(operation, "output", output, "f32", [M, N]);
    if (adapter) {
      lowRankDimensions(operation, { ...adapter, input }, "output", output, adapter.hidden);
    }
    return { M, K, N };
  });
}

/** Checks {@linkcode Operations.linearGroupTransposed}: the dimensions of each layer. */
export function checkLinearGroupTransposed(
  { layers, gradInput }: Arguments<"linearGroupTransposed">,
): LinearDimensions[] {
  const operation = "linearGroupTransposed";
  needLayers(operation, layers);
  return layers.map(({ gradOutput, weight }) => {
    checkWeight(operation, weight);
    const { rows: N, columns: K } = weight;
    const M = rowsOf(operation, "gradOutput", gradOutput, N);
    need(operation, "gradInput", gradInput, "f32", [M, K]);
    return { M, K, N };
  });
}

function needLayers(operation: string, layers: readonly unknown[]): void {
  if (layers.length === 0) throw new RangeError(`${operation}: layers is empty; pass at least one`);
}

function distinct(operation: string, name: string, tensors: readonly Tensor[]): void {
  tensors.forEach((tensor, index) => {
    if (tensors.indexOf(tensor) < index) {
      throw new RangeError(
        `${operation}: two layers have the ${name} ${quote(tensor)}; each needs its own`,
      );
    }
  });
}

/** Checks {@linkcode Operations.embedding}. */
export function checkEmbedding(
  { tokens, table, output }: Arguments<"embedding">,
): VocabularyDimensions {
  const [V, D] = matrix("embedding", "table", table);
  const T = tokens.size;
  need("embedding", "tokens", tokens, "u32", [T]);
  need("embedding", "output", output, "f32", [T, D]);
  return { T, D, V };
}

/** Checks {@linkcode Operations.embeddingBackward}. */
export function checkEmbeddingBackward(
  { gradOutput, order, offsets, gradTable }: Arguments<"embeddingBackward">,
): VocabularyDimensions {
  const [V, D] = matrix("embeddingBackward", "gradTable", gradTable);
  const T = rowsOf("embeddingBackward", "gradOutput", gradOutput, D);
  need("embeddingBackward", "order", order, "u32", [T]);
  need("embeddingBackward", "offsets", offsets, "u32", [V + 1]);
  return { T, D, V };
}

/** Checks {@linkcode Operations.rmsNorm}. */
export function checkRmsNorm(
  { input, weight, output }: Arguments<"rmsNorm">,
): { M: number; D: number } {
  const [M, D] = matrix("rmsNorm", "input", input);
  need("rmsNorm", "weight", weight, "f32", [D]);
  need("rmsNorm", "output", output, "f32", [M, D]);
  return { M, D };
}

/** Checks {@linkcode Operations.addRmsNorm}. */
export function checkAddRmsNorm(
  { input, residual, weight, sum, output }: Arguments<"addRmsNorm">,
): { M: number; D: number } {
  const [M, D] = matrix("addRmsNorm", "input", input);
  need("addRmsNorm", "residual", residual, "f32", [M, D]);
  need("addRmsNorm", "weight", weight, "f32", [D]);
  need("addRmsNorm", "sum", sum, "f32", [M, D]);
  need("addRmsNorm", "output", output, "f32", [M, D]);
  return { M, D };
}

/** Checks {@linkcode Operations.rmsNormBackward}. */
export function checkRmsNormBackward(
  { input, weight, gradOutput, gradInput, gradWeight }: Arguments<"rmsNormBackward">,
): { M: number; D: number } {
  const [M, D] = matrix("rmsNormBackward", "input", input);
  need("rmsNormBackward", "weight", weight, "f32", [D]);
  need("rmsNormBackward", "gradOutput", gradOutput, "f32", [M, D]);
  need("rmsNormBackward", "gradInput", gradInput, "f32", [M, D]);
  if (gradWeight) need("rmsNormBackward", "gradWeight", gradWeight, "f32", [D]);
  return { M, D };
}

/** Checks {@linkcode Operations.rope}. */
export function checkRope(
  { values, cosines, sines, heads, headDim, length, positions }: Arguments<"rope">,
): { T: number; rotaryDim: number } {
  positive("rope", { heads, headDim, length });
  const T = rowsOf("rope", "values", values, heads * headDim);
  const [angles, pairs] = matrix("rope", "cosines", cosines);
  need("rope", "sines", sines, "f32", [angles, pairs]);
  if (2 * pairs > headDim) {
    throw new RangeError(
      `rope: cosines ${quote(cosines)} has ${pairs} columns, a rotary dimension of ${2 * pairs}; ` +
        `headDim is only ${headDim}`,
    );
  }
  if (!positions && angles < length) {
    throw new RangeError(
      `rope: cosines ${quote(cosines)} has ${angles} positions, but the length is ${length}`,
    );
  }
  if (positions) {
    divides("rope", "length", length, "the number of tokens", T);
    need("rope", "positions", positions, "u32", [T / length]);
  }
  return { T, rotaryDim: 2 * pairs };
}

/** Checks {@linkcode Operations.attention}. */
export function checkAttention(args: Arguments<"attention">): AttentionDimensions {
  return attentionDimensions("attention", args);
}

/** Checks {@linkcode Operations.attentionBackward}. */
export function checkAttentionBackward(
  args: Arguments<"attentionBackward">,
): AttentionDimensions {
  const operation = "attentionBackward";
  const dimensions = attentionDimensions(operation, args);
  const queryShape = args.queries.shape;
  const keyShape = args.keys.shape;
  need(operation, "gradOutput", args.gradOutput, "f32", queryShape);
  need(operation, "gradQueries", args.gradQueries, "f32", queryShape);
  need(operation, "gradKeys", args.gradKeys, "f32", keyShape);
  need(operation, "gradValues", args.gradValues, "f32", keyShape);
  return dimensions;
}

/** Checks {@linkcode Operations.appendToCache}. */
export function checkAppendToCache(args: Arguments<"appendToCache">): CacheDimensions {
  const operation = "appendToCache";
  const { keys, values, positions } = args;
  const [T, width] = matrix(operation, "keys", keys);
  need(operation, "values", values, "f32", [T, width]);
  divides(operation, "the number of positions", positions.size, "the number of tokens", T);
  const batch = positions.size;
  return { batch, length: T / batch, ...cacheDimensions(operation, args, batch, width) };
}

/** Checks {@linkcode Operations.cachedAttention}; `window` is at most the capacity. */
export function checkCachedAttention(
  args: Arguments<"cachedAttention">,
): CacheDimensions & AttentionDimensions {
  const operation = "cachedAttention";
  const { batch, length, heads, kvHeads, headDim, queries, output } = args;
  checkAttentionShape(operation, args);
  const T = batch * length;
  need(operation, "queries", queries, "f32", [T, heads * headDim]);
  need(operation, "output", output, "f32", [T, heads * headDim]);
  const cache = cacheDimensions(operation, args, batch, kvHeads * headDim);
  const window = Math.min(args.window ?? cache.capacity, cache.capacity);
  return { batch, length, ...cache, T, window };
}

/** Checks {@linkcode Operations.sample}. */
export function checkSample(args: Arguments<"sample">): { batch: number; V: number } {
  const operation = "sample";
  const { logits, keys, counters, temperature, topK = 1, topP = 1 } = args;
  const [batch, V] = matrix(operation, "logits", logits);
  need(operation, "keys", keys, "u32", [batch, 2]);
  need(operation, "counters", counters, "u32", [batch]);
  need(operation, "tokens", args.tokens, "u32", [batch]);
  need(operation, "logProbabilities", args.logProbabilities, "f32", [batch]);
  if (!(temperature >= 0 && Number.isFinite(temperature))) {
    throw new RangeError(`sample: temperature is ${temperature}; pass 0 or a positive number`);
  }
  positive(operation, { topK });
  if (!(topP > 0 && topP <= 1)) {
    throw new RangeError(`sample: topP is ${topP}; it must be above 0 and at most 1`);
  }
  return { batch, V };
}

/** Checks {@linkcode Operations.swiglu}: f32 tensors of equal size. */
export function checkSwiglu({ gate, up, output }: Arguments<"swiglu">): { size: number } {
  return equalSizes("swiglu", { gate, up, output });
}

/** Checks {@linkcode Operations.swigluBackward}: f32 tensors of equal size. */
export function checkSwigluBackward(args: Arguments<"swigluBackward">): { size: number } {
  const { gate, up, gradOutput, gradGate, gradUp } = args;
  return equalSizes("swigluBackward", { gate, up, gradOutput, gradGate, gradUp });
}

/** Checks {@linkcode Operations.crossEntropy}. */
export function checkCrossEntropy(args: Arguments<"crossEntropy">): VocabularyDimensions {
  const operation = "crossEntropy";
  const { hidden, head, targets, weights, losses, gradHidden, gradHead } = args;
  checkWeight(operation, head);
  const { rows: V, columns: D } = head;
  const T = rowsOf(operation, "hidden", hidden, D);
  need(operation, "targets", targets, "u32", [T]);
  need(operation, "weights", weights, "f32", [T]);
  need(operation, "losses", losses, "f32", [T]);
  if (gradHidden) need(operation, "gradHidden", gradHidden, "f32", [T, D]);
  if (gradHead) {
    if (head.format !== "dense") {
      throw new RangeError(
        `crossEntropy: gradHead ${quote(gradHead)} is given, but the head is ${head.format}; ` +
          `only a dense head has a gradient`,
      );
    }
    need(operation, "gradHead", gradHead, "f32", [V, D]);
  }
  return { T, D, V };
}

/** Checks {@linkcode Operations.weightedSum}. */
export function checkWeightedSum(
  { values, weights, output }: Arguments<"weightedSum">,
): { size: number } {
  need("weightedSum", "output", output, "f32", [1]);
  return equalSizes("weightedSum", { values, weights });
}

/** Checks {@linkcode Operations.squaredError}. */
export function checkSquaredError(
  { prediction, target, scale, losses, gradient }: Arguments<"squaredError">,
): { M: number; N: number } {
  const operation = "squaredError";
  const [M, N] = matrix(operation, "prediction", prediction);
  need(operation, "target", target, "f32", [M, N]);
  finite(operation, { scale });
  need(operation, "losses", losses, "f32", [M]);
  if (gradient) need(operation, "gradient", gradient, "f32", [M, N]);
  return { M, N };
}

/** Checks {@linkcode Operations.clippedQuantize}. */
export function checkClippedQuantize(
  { output, ...grid }: Arguments<"clippedQuantize">,
): { rows: number; columns: number; groups: number } {
  const dimensions = clippedDimensions("clippedQuantize", grid);
  const { rows, columns } = dimensions;
  need("clippedQuantize", "output", output, "f32", [rows, columns]);
  return dimensions;
}

/** Checks {@linkcode Operations.clippedQuantizeBackward}. */
export function checkClippedQuantizeBackward(
  { gradOutput, gradUpper, gradLower, ...grid }: Arguments<"clippedQuantizeBackward">,
): { rows: number; columns: number; groups: number } {
  const operation = "clippedQuantizeBackward";
  const dimensions = clippedDimensions(operation, grid);
  const { rows, columns } = dimensions;
  need(operation, "gradOutput", gradOutput, "f32", [rows, columns]);
  needGroups(operation, { gradUpper, gradLower }, dimensions.groups);
  return dimensions;
}

/** Checks {@linkcode Operations.gatherColumns}. */
export function checkGatherColumns(
  { input, order, output }: Arguments<"gatherColumns">,
): { M: number; K: number; C: number } {
  const [M, K] = matrix("gatherColumns", "input", input);
  const C = order.size;
  need("gatherColumns", "order", order, "u32", [C]);
  need("gatherColumns", "output", output, "f32", [M, C]);
  return { M, K, C };
}

/** Checks {@linkcode Operations.scatterColumns}. */
export function checkScatterColumns(
  { input, order, output }: Arguments<"scatterColumns">,
): { M: number; K: number; C: number } {
  const [M, C] = matrix("scatterColumns", "input", input);
  need("scatterColumns", "order", order, "u32", [C]);
  const [, K] = matrix("scatterColumns", "output", output);
  need("scatterColumns", "output", output, "f32", [M, K]);
  if (C > K) {
    throw new RangeError(
      `scatterColumns: order ${quote(order)} has ${C} indices, but output ${
        quote(output)
      } only ${K} columns; no two may be equal`,
    );
  }
  return { M, K, C };
}

/** Checks {@linkcode Operations.gradientNorm}. */
export function checkGradientNorm(
  { gradients, maxNorm, output }: Arguments<"gradientNorm">,
): { size: number } {
  for (const gradient of gradients) needDType("gradientNorm", "gradients", gradient, "f32");
  if (!(maxNorm > 0)) {
    throw new RangeError(
      `gradientNorm: maxNorm is ${maxNorm}; pass a positive number, or Infinity to not clip`,
    );
  }
  need("gradientNorm", "output", output, "f32", [2]);
  return { size: gradients.reduce((sum, gradient) => sum + gradient.size, 0) };
}

/** Checks {@linkcode Operations.adamw}. */
export function checkAdamw(args: Arguments<"adamw">): { size: number } {
  const { parameters, gradients, moment1, moment2, hyper, norm } = args;
  need("adamw", "hyper", hyper, "f32", [8]);
  need("adamw", "norm", norm, "f32", [2]);
  return equalSizes("adamw", { parameters, gradients, moment1, moment2 });
}

/** Checks that the tensors of a weight fit its format, dimensions and blocks. */
export function checkWeight(operation: string, weight: Weight): void {
  const { rows, columns } = weight;
  switch (weight.format) {
    case "dense":
      need(operation, "weight values", weight.values, "f32", [rows, columns]);
      return;
    case "integer": {
      const { bits, blockRows, blockColumns } = weight;
      checkBits(operation, `the weight ${quote(weight.codes)}`, bits);
      positive(operation, { blockRows, blockColumns });
      divides(operation, "blockRows", blockRows, "weight rows", rows);
      divides(operation, "blockColumns (the group size)", blockColumns, "weight columns", columns);
      need(operation, "weight codes", weight.codes, "u32", [rows, codeWords(bits, columns)]);
      const blocks = [rows / blockRows, columns / blockColumns];
      need(operation, "weight scales", weight.scales, "f32", blocks);
      need(operation, "weight zeros", weight.zeros, "f32", blocks);
      return;
    }
    case "codebook": {
      const { blockColumns } = weight;
      positive(operation, { blockColumns });
      divides(operation, "the chunk of packed codes", CHUNK, "blockColumns", blockColumns);
      divides(operation, "blockColumns", blockColumns, "weight columns", columns);
      need(operation, "weight codes", weight.codes, "u32", [rows, codeWords(3, columns)]);
      const shape = [rows, columns / blockColumns, CODEBOOK_LEVELS];
      need(operation, "weight levels", weight.levels, "f32", shape);
      return;
    }
    case "nf4": {
      divides(operation, "the NF4 block", NF4_BLOCK, "weight columns", columns);
      need(operation, "weight codes", weight.codes, "u32", [rows, codeWords(4, columns)]);
      const blocks = rows * columns / NF4_BLOCK;
      const { absmax } = weight;
      if (absmax.kind === "plain") {
        need(operation, "weight absmax", absmax.values, "f32", [blocks]);
      } else {
        const superblocks = Math.ceil(blocks / NF4_ABSMAX_BLOCK);
        need(operation, "weight absmax codes", absmax.codes, "u32", [Math.ceil(blocks / 4)]);
        need(operation, "weight absmax scales", absmax.scales, "f32", [superblocks]);
        need(operation, "weight absmax offset", absmax.offset, "f32", [1]);
      }
    }
  }
}

function clippedDimensions(
  operation: string,
  { weight, upper, lower, groupSize, bits, symmetric }: ClippedGrid,
): { rows: number; columns: number; groups: number } {
  const [rows, columns] = matrix(operation, "weight", weight);
  positive(operation, { groupSize });
  divides(operation, "groupSize", groupSize, "the weight's columns", columns);
  checkBits(operation, "the grid", bits);
  if (symmetric && bits < 2) {
    throw new RangeError(`${operation}: a symmetric grid has at least 2 bits, not 1`);
  }
  const groups = rows * columns / groupSize;
  needGroups(operation, { upper, lower }, groups);
  return { rows, columns, groups };
}

function needGroups(
  operation: string,
  tensors: Readonly<Record<string, Tensor>>,
  groups: number,
): void {
  for (const [name, tensor] of Object.entries(tensors)) {
    needDType(operation, name, tensor, "f32");
    needSize(operation, name, tensor, groups, "one for each group of the weight");
  }
}

function checkBits(operation: string, name: string, bits: number): void {
  if ([1, 2, 3, 4, 8].includes(bits)) return;
  throw new RangeError(`${operation}: ${name} has ${bits} bits; allowed are 1, 2, 3, 4, 8`);
}

function lowRankDimensions(
  operation: string,
  { input, a, b, pool, repeat, scale, dropout }: LowRank,
  outputName: string,
  output: Tensor,
  hidden: Tensor,
): LowRankDimensions {
  const [M, K] = matrix(operation, "input", input);
  const [outputRows, N] = matrix(operation, outputName, output);
  if (outputRows !== M) {
    throw new RangeError(
      `${operation}: ${outputName} ${quote(output)} has ${outputRows} rows, but input ` +
        `${quote(input)} has ${M}`,
    );
  }
  positive(operation, { pool, repeat });
  divides(operation, "pool", pool, "the input features", K);
  divides(operation, "repeat", repeat, "the output features", N);
  finite(operation, { scale });
  const P = K / pool;
  const Q = N / repeat;
  const R = a ? matrix(operation, "a", a)[0] : P;
  if (a) need(operation, "a", a, "f32", [R, P]);
  need(operation, "b", b, "f32", [Q, R]);
  need(operation, "hidden", hidden, "f32", [M, R]);
  if (dropout) {
    const { rate, key, stream } = dropout;
    if (!(rate >= 0 && rate < 1)) {
      throw new RangeError(`${operation}: the dropout rate is ${rate}; it must be in [0, 1)`);
    }
    if (!isWord(stream)) {
      throw new RangeError(
        `${operation}: the dropout stream is ${stream}; pass an integer in [0, 2^32)`,
      );
    }
    need(operation, "dropout key", key, "u32", [2]);
  }
  return { M, K, N, R, P, Q };
}

function attentionDimensions(
  operation: string,
  args: Arguments<"attention">,
): AttentionDimensions {
  const { batch, length, heads, kvHeads, headDim } = args;
  checkAttentionShape(operation, args);
  const window = args.window ?? length;
  const T = batch * length;
  need(operation, "queries", args.queries, "f32", [T, heads * headDim]);
  need(operation, "keys", args.keys, "f32", [T, kvHeads * headDim]);
  need(operation, "values", args.values, "f32", [T, kvHeads * headDim]);
  need(operation, "output", args.output, "f32", [T, heads * headDim]);
  need(operation, "logSumExp", args.logSumExp, "f32", [T, heads]);
  if (args.starts) need(operation, "starts", args.starts, "u32", [T]);
  return { T, window: Math.min(window, length) };
}

function checkAttentionShape(
  operation: string,
  { batch, length, heads, kvHeads, headDim, scale, window = 1 }: AttentionShape,
): void {
  positive(operation, { batch, length, heads, kvHeads, headDim, window });
  divides(operation, "kvHeads", kvHeads, "heads", heads);
  divides(operation, "the vector width", 4, "headDim", headDim);
  finite(operation, { scale });
}

function cacheDimensions(
  operation: string,
  { keyCache, valueCache, slots, positions }: KeyValueCache,
  batch: number,
  width: number,
): { rows: number; capacity: number; width: number } {
  const [rows = 0, capacity = 0] = keyCache.shape;
  need(operation, "keyCache", keyCache, "f32", [rows, capacity, width]);
  need(operation, "valueCache", valueCache, "f32", [rows, capacity, width]);
  need(operation, "slots", slots, "u32", [batch]);
  need(operation, "positions", positions, "u32", [batch]);
  return { rows, capacity, width };
}
