/**
 * One transformer block, forward and backward, as operations of a device.
 *
 * @module
 */

import type { AttentionShape, Operations, Tensor } from "../../kernels/device.ts";
import type { ModelConfig } from "./config.ts";
import type { Block, Linear } from "./language_model.ts";
import { ropeTables } from "./rope.ts";
import type { TensorScope } from "./tensor_scope.ts";

/** Shape of a batch: `T = batchSize * length` tokens. */
export interface BatchShape {
  readonly batchSize: number;
  readonly length: number;
}

/** What all blocks of a recording share: rotary tables and attention's shape. */
export interface BlockEnvironment {
  readonly config: ModelConfig;
  readonly attention: AttentionShape;
  readonly cosines: Tensor;
  readonly sines: Tensor;
  /** `[T, n * headDim]` seen as `[T * n, headDim]`: q/k normalization works on single heads. */
  headRows(tensor: Tensor): Tensor;
}

/** What a block's forward pass leaves for its backward pass. */
export interface BlockActivations {
  /** `[T, hidden]`: the input after normalization. */
  readonly normed: Tensor;
  /**
   * Queries and keys before q/k normalization: `queries` and `keys` themselves where there is none.
   */
  readonly rawQueries: Tensor;
  readonly rawKeys: Tensor;
  /** After normalization and rotation. */
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly values: Tensor;
  readonly attended: Tensor;
  readonly logSumExp: Tensor;
  /** `[T, hidden]`: the residual stream between attention and MLP. */
  readonly middle: Tensor;
  readonly middleNormed: Tensor;
  /** `[T, intermediate]`. */
  readonly gate: Tensor;
  readonly up: Tensor;
  readonly activated: Tensor;
  /** `[T, R]` of each adapted linear layer, by name. */
  readonly hidden: Readonly<Record<string, Tensor>>;
}

/** Temporary gradients of one block's backward pass, shared by all blocks. */
export interface BlockGradients {
  /** `[T, hidden]`. */
  readonly normed: Tensor;
  readonly queries: Tensor;
  readonly keys: Tensor;
  readonly rawQueries: Tensor;
  readonly rawKeys: Tensor;
  readonly values: Tensor;
  readonly attended: Tensor;
  /** `[T, intermediate]`. */
  readonly activated: Tensor;
  readonly gate: Tensor;
  readonly up: Tensor;
}

/** Rotary tables and shapes for batches of `shape`. */
export function blockEnvironment(
  scope: TensorScope,
  config: ModelConfig,
  { batchSize, length }: BatchShape,
): BlockEnvironment {
  const tables = ropeTables(config, length);
  const shape = [length, config.rotaryDim / 2];
  const cosines = scope.tensor("f32", shape, "rope cosines");
  const sines = scope.tensor("f32", shape, "rope sines");
  scope.device.write(cosines, tables.cosines);
  scope.device.write(sines, tables.sines);
  const { heads, kvHeads, headDim, slidingWindow } = config;
  return {
    config,
    cosines,
    sines,
    headRows: (tensor) => scope.device.view(tensor, 0, [tensor.size / headDim, headDim]),
    attention: {
      batch: batchSize,
      length,
      heads,
      kvHeads,
      headDim,
      scale: 1 / Math.sqrt(headDim),
      ...(slidingWindow !== null && slidingWindow < length ? { window: slidingWindow } : {}),
    },
  };
}

/** Allocates what one block saves; `adapted` holds the ranks of its adapters. */
export function blockActivations(
  scope: TensorScope,
  config: ModelConfig,
  tokens: number,
  block: Block,
): BlockActivations {
  const make = (label: string, width: number) => scope.tensor("f32", [tokens, width], label);
  const queryWidth = config.heads * config.headDim;
  const keyWidth = config.kvHeads * config.headDim;
  const queries = make("queries", queryWidth);
  const keys = make("keys", keyWidth);
  const hidden: Record<string, Tensor> = {};
  for (const { shape, adapter } of Object.values(block.linears)) {
    if (adapter !== null) hidden[shape.name] = make(`hidden of ${shape.path}`, adapter.rank);
  }
  return {
    normed: make("normed", config.hiddenSize),
    rawQueries: config.queryKeyNorm ? make("raw queries", queryWidth) : queries,
    rawKeys: config.queryKeyNorm ? make("raw keys", keyWidth) : keys,
    queries,
    keys,
    values: make("values", keyWidth),
    attended: make("attended", queryWidth),
    logSumExp: make("log-sum-exp", config.heads),
    middle: make("middle", config.hiddenSize),
    middleNormed: make("middle normed", config.hiddenSize),
    gate: make("gate", config.intermediateSize),
    up: make("up", config.intermediateSize),
    activated: make("activated", config.intermediateSize),
    hidden,
  };
}

/** Allocates the gradients that blocks share. */
export function blockGradients(
  scope: TensorScope,
  config: ModelConfig,
  tokens: number,
): BlockGradients {
  const make = (label: string, width: number) =>
    scope.tensor("f32", [tokens, width], `gradient of ${label}`);
  const queryWidth = config.heads * config.headDim;
  const keyWidth = config.kvHeads * config.headDim;
  const queries = make("queries", queryWidth);
  const keys = make("keys", keyWidth);
  return {
    normed: make("normed", config.hiddenSize),
    queries,
    keys,
    rawQueries: config.queryKeyNorm ? make("raw queries", queryWidth) : queries,
    rawKeys: config.queryKeyNorm ? make("raw keys", keyWidth) : keys,
    values: make("values", keyWidth),
    attended: make("attended", config.heads * config.headDim),
    activated: make("activated", config.intermediateSize),
    gate: make("gate", config.intermediateSize),
    up: make("up", config.intermediateSize),
  };
}

/** `output = block(input)`, both `[T, hidden]`; saves what the backward pass needs. */
export function forwardBlock(
  operations: Operations,
  environment: BlockEnvironment,
  block: Block,
  activations: BlockActivations,
  input: Tensor,
  output: Tensor,
  options: { readonly dropout: boolean },
): void {
  const { config, attention } = environment;
  const epsilon = config.normEpsilon;
  const { linears } = block;
  const apply = (linear: Linear, from: Tensor, to: Tensor, accumulate = false) =>
    forwardLinear(operations, linear, from, to, activations, accumulate, options.dropout);

  operations.rmsNorm({
    input,
    weight: block.inputNorm.value,
    output: activations.normed,
    epsilon,
  });
  apply(linears.q_proj, activations.normed, activations.rawQueries);
  apply(linears.k_proj, activations.normed, activations.rawKeys);
  apply(linears.v_proj, activations.normed, activations.values);
  for (
    const [norm, raw, normed] of [
      [block.queryNorm, activations.rawQueries, activations.queries],
      [block.keyNorm, activations.rawKeys, activations.keys],
    ] as const
  ) {
    if (norm !== null) {
      operations.rmsNorm({
        input: environment.headRows(raw),
        weight: norm.value,
        output: environment.headRows(normed),
        epsilon,
      });
    }
  }
  rotate(operations, environment, activations.queries, config.heads, false);
  rotate(operations, environment, activations.keys, config.kvHeads, false);
  operations.attention({
    ...attention,
    queries: activations.queries,
    keys: activations.keys,
    values: activations.values,
    output: activations.attended,
    logSumExp: activations.logSumExp,
  });

  operations.copy({ input, output: activations.middle });
  apply(linears.o_proj, activations.attended, activations.middle, true);

  operations.rmsNorm({
    input: activations.middle,
    weight: block.attentionNorm.value,
    output: activations.middleNormed,
    epsilon,
  });
  apply(linears.gate_proj, activations.middleNormed, activations.gate);
  apply(linears.up_proj, activations.middleNormed, activations.up);
  operations.swiglu({
    gate: activations.gate,
    up: activations.up,
    output: activations.activated,
  });
  operations.copy({ input: activations.middle, output });
  apply(linears.down_proj, activations.activated, output, true);
}

/**
 * Turns `gradient [T, hidden]` with respect to the block's output into that with respect to its
 * input, in place, and adds to the gradients of everything in the block that trains. With
 * `needsInput` false (nothing below trains) the gradient of the input is left unfinished.
 */
export function backwardBlock(
  operations: Operations,
  environment: BlockEnvironment,
  block: Block,
  activations: BlockActivations,
  input: Tensor,
  gradient: Tensor,
  gradients: BlockGradients,
  needsInput: boolean,
): void {
  const { config, attention } = environment;
  const epsilon = config.normEpsilon;
  const { linears } = block;
  const back = (
    linear: Linear,
    from: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor | null,
    accumulate = false,
  ) => backwardLinear(operations, linear, from, activations, gradOutput, gradInput, accumulate);

  back(linears.down_proj, activations.activated, gradient, gradients.activated);
  operations.swigluBackward({
    gate: activations.gate,
    up: activations.up,
    gradOutput: gradients.activated,
    gradGate: gradients.gate,
    gradUp: gradients.up,
  });
  back(linears.gate_proj, activations.middleNormed, gradients.gate, gradients.normed);
  back(linears.up_proj, activations.middleNormed, gradients.up, gradients.normed, true);
  operations.rmsNormBackward({
    input: activations.middle,
    weight: block.attentionNorm.value,
    gradOutput: gradients.normed,
    gradInput: gradient,
    gradWeight: block.attentionNorm.gradient,
    epsilon,
    accumulate: true, // the residual stream passes its own gradient on
  });

  back(linears.o_proj, activations.attended, gradient, gradients.attended);
  operations.attentionBackward({
    ...attention,
    queries: activations.queries,
    keys: activations.keys,
    values: activations.values,
    output: activations.attended,
    logSumExp: activations.logSumExp,
    gradOutput: gradients.attended,
    gradQueries: gradients.queries,
    gradKeys: gradients.keys,
    gradValues: gradients.values,
  });
  rotate(operations, environment, gradients.queries, config.heads, true);
  rotate(operations, environment, gradients.keys, config.kvHeads, true);
  for (
    const [norm, raw, gradNormed, gradRaw] of [
      [block.queryNorm, activations.rawQueries, gradients.queries, gradients.rawQueries],
      [block.keyNorm, activations.rawKeys, gradients.keys, gradients.rawKeys],
    ] as const
  ) {
    if (norm !== null) {
      operations.rmsNormBackward({
        input: environment.headRows(raw),
        weight: norm.value,
        gradOutput: environment.headRows(gradNormed),
        gradInput: environment.headRows(gradRaw),
        gradWeight: norm.gradient,
        epsilon,
      });
    }
  }
  const gradNormed = needsInput || block.inputNorm.gradient !== null ? gradients.normed : null;
  back(linears.q_proj, activations.normed, gradients.rawQueries, gradNormed);
  back(linears.k_proj, activations.normed, gradients.rawKeys, gradNormed, true);
  back(linears.v_proj, activations.normed, gradients.values, gradNormed, true);
  if (gradNormed !== null) {
    operations.rmsNormBackward({
      input,
      weight: block.inputNorm.value,
      gradOutput: gradNormed,
      gradInput: gradient,
      gradWeight: block.inputNorm.gradient,
      epsilon,
      accumulate: true,
    });
  }
}

/** Whether anything in the block trains: if not, and nothing below does, its backward is skipped. */
export function trains(block: Block): boolean {
  const { inputNorm, attentionNorm, queryNorm, keyNorm, linears } = block;
  return [inputNorm, attentionNorm, queryNorm, keyNorm].some((norm) => !!norm?.gradient) ||
    Object.values(linears).some(({ gradient, bias, adapter }) =>
      gradient !== null || !!bias?.gradient || !!adapter?.b.gradient
    );
}

function rotate(
  operations: Operations,
  { config, attention, cosines, sines }: BlockEnvironment,
  values: Tensor,
  heads: number,
  inverse: boolean,
): void {
  operations.rope({
    values,
    cosines,
    sines,
    heads,
    headDim: config.headDim,
    length: attention.length,
    layout: config.ropeLayout,
    inverse,
  });
}

function forwardLinear(
  operations: Operations,
  { shape, weight, bias, adapter }: Linear,
  input: Tensor,
  output: Tensor,
  activations: BlockActivations,
  accumulate: boolean,
  dropout: boolean,
): void {
  operations.linear({
    input,
    weight,
    output,
    accumulate,
    ...(bias === null ? {} : { bias: bias.value }),
  });
  const hidden = activations.hidden[shape.name];
  if (adapter === null || hidden === undefined) return;
  operations.lowRank({ ...lowRank(adapter, input, dropout), hidden, output });
}

function backwardLinear(
  operations: Operations,
  { shape, weight, gradient, bias, adapter }: Linear,
  input: Tensor,
  activations: BlockActivations,
  gradOutput: Tensor,
  gradInput: Tensor | null,
  accumulate: boolean,
): void {
  if (gradient !== null) {
    operations.matmul({
      left: gradOutput,
      right: input,
      output: gradient,
      orientation: "tn",
      accumulate: true,
    });
  }
  if (bias !== null && bias.gradient !== null) {
    operations.columnSum({ input: gradOutput, output: bias.gradient });
  }
  if (gradInput !== null) {
    operations.linearTransposed({ gradOutput, weight, gradInput, accumulate });
  }
  const hidden = activations.hidden[shape.name];
  if (adapter === null || hidden === undefined || adapter.b.gradient === null) return;
  operations.lowRankBackward({
    ...lowRank(adapter, input, true),
    hidden,
    gradOutput,
    gradA: adapter.a?.gradient ?? null,
    gradB: adapter.b.gradient,
    gradInput,
  });
}

function lowRank(
  { a, b, pool, repeat, scale, dropout }: NonNullable<Linear["adapter"]>,
  input: Tensor,
  withDropout: boolean,
) {
  return {
    input,
    a: a?.value ?? null,
    b: b.value,
    pool,
    repeat,
    scale,
    ...(dropout !== undefined && withDropout ? { dropout } : {}),
  };
}
