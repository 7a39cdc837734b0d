/**
 * Recording on the reference device: every operation checks its shapes at once and leaves a closure
 * over the arrays for later.
 *
 * @module
 */

import type { Operations } from "../device.ts";
import * as fused from "../fused.ts";
import * as shapes from "../shapes.ts";
import type { Arguments } from "../shapes.ts";
import { swiglu, swigluBackward } from "./activation.ts";
import { attention, attentionBackward, type AttentionSizes } from "./attention.ts";
import { appendToCache, cachedAttention } from "./cache.ts";
import { CalibrationOperations } from "./calibration_operations.ts";
import { crossEntropy, weightedSum } from "./cross_entropy.ts";
import { embedding, embeddingBackward } from "./embedding.ts";
import { columnSum, linear, linearTransposed, matmul } from "./linear.ts";
import { lowRank, lowRankBackward } from "./low_rank.ts";
import type { Allocation, Memory } from "./memory.ts";
import { rmsNorm, rmsNormBackward } from "./normalization.ts";
import { Operands } from "./operands.ts";
import { adamw, gradientNorm } from "./optimizer.ts";
import { rope } from "./rope.ts";
import { sample } from "./sample.ts";

/** Collects the calls of one recording. */
export class ReferenceOperations extends CalibrationOperations implements Operations {
  readonly #operands: Operands;

  /** Starts an empty recording over tensors of `memory`. */
  constructor(memory: Memory) {
    const operands = new Operands(memory);
    super(operands);
    this.#operands = operands;
  }

  /** Every allocation that a replay touches. */
  get allocations(): ReadonlySet<Allocation> {
    return this.#operands.allocations;
  }

  /** See {@linkcode Operations.fill}. */
  fill(args: Arguments<"fill">): void {
    shapes.checkFill(args);
    const output = this.#operands.data(args.output);
    this.steps.push(() => output.fill(args.value));
  }

  /** See {@linkcode Operations.copy}. */
  copy(args: Arguments<"copy">): void {
    shapes.checkCopy(args);
    const input = this.#operands.data(args.input);
    const output = this.#operands.data(args.output);
    this.steps.push(() => output.set(input));
  }

  /** See {@linkcode Operations.add}. */
  add(args: Arguments<"add">): void {
    shapes.checkAdd(args);
    const left = this.#operands.floats(args.left);
    const right = this.#operands.floats(args.right);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => {
      for (let i = 0; i < output.length; i++) {
        output[i] = (left[i] as number) + (right[i] as number);
      }
    });
  }

  /** See {@linkcode Operations.linear}. */
  linear(args: Arguments<"linear">): void {
    const dimensions = shapes.checkLinear(args);
    const input = this.#operands.floats(args.input);
    const weight = this.#operands.weight(args.weight);
    const bias = this.#operands.optional(args.bias);
    const output = this.#operands.floats(args.output);
    this.steps.push(() =>
      linear(input, weight(), bias, output, dimensions, args.accumulate ?? false)
    );
  }

  /** See {@linkcode Operations.linearTransposed}. */
  linearTransposed(args: Arguments<"linearTransposed">): void {
    const dimensions = shapes.checkLinearTransposed(args);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const weight = this.#operands.weight(args.weight);
    const gradInput = this.#operands.floats(args.gradInput);
    this.steps.push(() =>
      linearTransposed(gradOutput, weight(), gradInput, dimensions, args.accumulate ?? false)
    );
  }

  /** See {@linkcode Operations.matmul}. */
  matmul(args: Arguments<"matmul">): void {
    const dimensions = shapes.checkMatmul(args);
    const { orientation, scale = 1, accumulate = false } = args;
    const left = this.#operands.floats(args.left);
    const right = this.#operands.floats(args.right);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => matmul(left, right, output, dimensions, orientation, scale, accumulate));
  }

  /** See {@linkcode Operations.columnSum}. */
  columnSum(args: Arguments<"columnSum">): void {
    const dimensions = shapes.checkColumnSum(args);
    const input = this.#operands.floats(args.input);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => columnSum(input, output, dimensions));
  }

  /** See {@linkcode Operations.dequantize}. */
  dequantize(args: Arguments<"dequantize">): void {
    shapes.checkDequantize(args);
    const weight = this.#operands.weight(args.weight);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => output.set(weight()));
  }

  /** See {@linkcode Operations.lowRank}. */
  lowRank(args: Arguments<"lowRank">): void {
    const dimensions = shapes.checkLowRank(args);
    const factors = this.#operands.factors(args);
    const input = this.#operands.floats(args.input);
    const a = this.#operands.optional(args.a);
    const b = this.#operands.floats(args.b);
    const hidden = this.#operands.floats(args.hidden);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => lowRank(input, a, b, hidden, output, dimensions, factors));
  }

  /** See {@linkcode Operations.lowRankBackward}. */
  lowRankBackward(args: Arguments<"lowRankBackward">): void {
    const dimensions = shapes.checkLowRankBackward(args);
    const factors = this.#operands.factors(args);
    const input = this.#operands.floats(args.input);
    const a = this.#operands.optional(args.a);
    const b = this.#operands.floats(args.b);
    const hidden = this.#operands.floats(args.hidden);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const gradA = this.#operands.optional(args.gradA);
    const gradB = this.#operands.optional(args.gradB);
    const gradInput = this.#operands.optional(args.gradInput);
    this.steps.push(() =>
      lowRankBackward(
        input,
        a,
        b,
        hidden,
        gradOutput,
        gradA,
        gradB,
        gradInput,
        dimensions,
        factors,
      )
    );
  }

  /** See {@linkcode Operations.linearGroup}. */
  linearGroup(args: Arguments<"linearGroup">): void {
    fused.linearGroup(this, args);
  }

  /** See {@linkcode Operations.linearGroupTransposed}. */
  linearGroupTransposed(args: Arguments<"linearGroupTransposed">): void {
    fused.linearGroupTransposed(this, args);
  }

  /** See {@linkcode Operations.embedding}. */
  embedding(args: Arguments<"embedding">): void {
    const dimensions = shapes.checkEmbedding(args);
    const tokens = this.#operands.words(args.tokens);
    const table = this.#operands.floats(args.table);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => embedding(tokens, table, output, dimensions));
  }

  /** See {@linkcode Operations.embeddingBackward}. */
  embeddingBackward(args: Arguments<"embeddingBackward">): void {
    const dimensions = shapes.checkEmbeddingBackward(args);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const order = this.#operands.words(args.order);
    const offsets = this.#operands.words(args.offsets);
    const gradTable = this.#operands.floats(args.gradTable);
    this.steps.push(() => embeddingBackward(gradOutput, order, offsets, gradTable, dimensions));
  }

  /** See {@linkcode Operations.rmsNorm}. */
  rmsNorm(args: Arguments<"rmsNorm">): void {
    const dimensions = shapes.checkRmsNorm(args);
    const input = this.#operands.floats(args.input);
    const weight = this.#operands.floats(args.weight);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => rmsNorm(input, weight, output, dimensions, args.epsilon));
  }

  /** See {@linkcode Operations.addRmsNorm}. */
  addRmsNorm(args: Arguments<"addRmsNorm">): void {
    fused.addRmsNorm(this, args);
  }

  /** See {@linkcode Operations.rmsNormBackward}. */
  rmsNormBackward(args: Arguments<"rmsNormBackward">): void {
    const dimensions = shapes.checkRmsNormBackward(args);
    const { epsilon, accumulate = false } = args;
    const input = this.#operands.floats(args.input);
    const weight = this.#operands.floats(args.weight);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const gradInput = this.#operands.floats(args.gradInput);
    const gradWeight = this.#operands.optional(args.gradWeight);
    this.steps.push(() =>
      rmsNormBackward(
        input,
        weight,
        gradOutput,
        gradInput,
        gradWeight,
        dimensions,
        epsilon,
        accumulate,
      )
    );
  }

  /** See {@linkcode Operations.rope}. */
  rope(args: Arguments<"rope">): void {
    const { heads, headDim, length, layout, inverse = false } = args;
    const dimensions = { ...shapes.checkRope(args), heads, headDim, length };
    const values = this.#operands.floats(args.values);
    const cosines = this.#operands.floats(args.cosines);
    const sines = this.#operands.floats(args.sines);
    const positions = args.positions ? this.#operands.words(args.positions) : null;
    this.steps.push(() => rope(values, cosines, sines, dimensions, layout, inverse, positions));
  }

  /** See {@linkcode Operations.attention}. */
  attention(args: Arguments<"attention">): void {
    const sizes = this.#attentionSizes(args, shapes.checkAttention(args));
    const queries = this.#operands.floats(args.queries);
    const keys = this.#operands.floats(args.keys);
    const values = this.#operands.floats(args.values);
    const output = this.#operands.floats(args.output);
    const logSumExp = this.#operands.floats(args.logSumExp);
    this.steps.push(() => attention(queries, keys, values, output, logSumExp, sizes));
  }

  /** See {@linkcode Operations.attentionBackward}. */
  attentionBackward(args: Arguments<"attentionBackward">): void {
    const sizes = this.#attentionSizes(args, shapes.checkAttentionBackward(args));
    const queries = this.#operands.floats(args.queries);
    const keys = this.#operands.floats(args.keys);
    const values = this.#operands.floats(args.values);
    const output = this.#operands.floats(args.output);
    const logSumExp = this.#operands.floats(args.logSumExp);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const gradQueries = this.#operands.floats(args.gradQueries);
    const gradKeys = this.#operands.floats(args.gradKeys);
    const gradValues = this.#operands.floats(args.gradValues);
    this.steps.push(() =>
      attentionBackward(
        queries,
        keys,
        values,
        output,
        logSumExp,
        gradOutput,
        gradQueries,
        gradKeys,
        gradValues,
        sizes,
      )
    );
  }

  /** See {@linkcode Operations.appendToCache}. */
  appendToCache(args: Arguments<"appendToCache">): void {
    const dimensions = shapes.checkAppendToCache(args);
    const keys = this.#operands.floats(args.keys);
    const values = this.#operands.floats(args.values);
    const cache = this.#operands.cache(args);
    this.steps.push(() => {
      appendToCache(keys, cache.keys, cache, dimensions);
      appendToCache(values, cache.values, cache, dimensions);
    });
  }

  /** See {@linkcode Operations.cachedAttention}. */
  cachedAttention(args: Arguments<"cachedAttention">): void {
    const { capacity, window } = shapes.checkCachedAttention(args);
    const sizes = { ...args, capacity, window };
    const queries = this.#operands.floats(args.queries);
    const output = this.#operands.floats(args.output);
    const cache = this.#operands.cache(args);
    this.steps.push(() => cachedAttention(queries, cache, output, sizes));
  }

  /** See {@linkcode Operations.sample}. */
  sample(args: Arguments<"sample">): void {
    const { V } = shapes.checkSample(args);
    const settings = { ...args, topK: args.topK ?? V, topP: args.topP ?? 1 };
    const logits = this.#operands.floats(args.logits);
    const keys = this.#operands.words(args.keys);
    const counters = this.#operands.words(args.counters);
    const tokens = this.#operands.words(args.tokens);
    const logProbabilities = this.#operands.floats(args.logProbabilities);
    this.steps.push(() => sample(logits, keys, counters, tokens, logProbabilities, settings));
  }

  /** See {@linkcode Operations.swiglu}. */
  swiglu(args: Arguments<"swiglu">): void {
    shapes.checkSwiglu(args);
    const gate = this.#operands.floats(args.gate);
    const up = this.#operands.floats(args.up);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => swiglu(gate, up, output));
  }

  /** See {@linkcode Operations.swigluBackward}. */
  swigluBackward(args: Arguments<"swigluBackward">): void {
    shapes.checkSwigluBackward(args);
    const gate = this.#operands.floats(args.gate);
    const up = this.#operands.floats(args.up);
    const gradOutput = this.#operands.floats(args.gradOutput);
    const gradGate = this.#operands.floats(args.gradGate);
    const gradUp = this.#operands.floats(args.gradUp);
    this.steps.push(() => swigluBackward(gate, up, gradOutput, gradGate, gradUp));
  }

  /** See {@linkcode Operations.crossEntropy}. */
  crossEntropy(args: Arguments<"crossEntropy">): void {
    const dimensions = shapes.checkCrossEntropy(args);
    const hidden = this.#operands.floats(args.hidden);
    const head = this.#operands.weight(args.head);
    const targets = this.#operands.words(args.targets);
    const weights = this.#operands.floats(args.weights);
    const losses = this.#operands.floats(args.losses);
    const gradHidden = this.#operands.optional(args.gradHidden);
    const gradHead = this.#operands.optional(args.gradHead);
    this.steps.push(() =>
      crossEntropy(hidden, head(), targets, weights, losses, gradHidden, gradHead, dimensions)
    );
  }

  /** See {@linkcode Operations.weightedSum}. */
  weightedSum(args: Arguments<"weightedSum">): void {
    shapes.checkWeightedSum(args);
    const values = this.#operands.floats(args.values);
    const weights = this.#operands.floats(args.weights);
    const output = this.#operands.floats(args.output);
    this.steps.push(() => weightedSum(values, weights, output));
  }

  /** See {@linkcode Operations.gradientNorm}. */
  gradientNorm(args: Arguments<"gradientNorm">): void {
    shapes.checkGradientNorm(args);
    const gradients = args.gradients.map((gradient) => this.#operands.floats(gradient));
    const output = this.#operands.floats(args.output);
    this.steps.push(() => gradientNorm(gradients, args.maxNorm, output));
  }

  /** See {@linkcode Operations.adamw}. */
  adamw(args: Arguments<"adamw">): void {
    shapes.checkAdamw(args);
    const parameters = this.#operands.floats(args.parameters);
    const gradients = this.#operands.floats(args.gradients);
    const moment1 = this.#operands.floats(args.moment1);
    const moment2 = this.#operands.floats(args.moment2);
    const hyper = this.#operands.floats(args.hyper);
    const norm = this.#operands.floats(args.norm);
    this.steps.push(() => adamw(parameters, gradients, moment1, moment2, hyper, norm));
  }
  #attentionSizes(
    args: Arguments<"attention">,
    { window }: shapes.AttentionDimensions,
  ): AttentionSizes {
    const { starts, ...shape } = args;
    return { ...shape, window, ...(starts && { starts: this.#operands.words(starts) }) };
  }
}
