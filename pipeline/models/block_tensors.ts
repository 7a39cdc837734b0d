/**
 * The tensors of a transformer block: what it shares with all others, what its forward pass saves, and
 * the temporary gradients of its backward pass.
 *
 * @module
 */

import type { AttentionShape, Tensor } from "../../kernels/device.ts";
import type { LinearName } from "./architecture.ts";
import type { ModelConfig } from "./config.ts";
import type { Block, Linear } from "./language_model.ts";
import { ropeTables } from "./rope.ts";
import type { TensorScope } from "./tensor_scope.ts";

/** Shape of a batch: `T = batchSize * length` tokens. */
export interface BatchShape {
  readonly batchSize: number;
  readonly length: number;
  /** Whether rows hold several examples, as {@linkcode Packing} says. Default: false. */
  readonly packed?: boolean;
}

/** Where the examples of packed rows lie; to be filled with the tokens. */
export interface Packing {
  /** `[T]` u32: the position in its row where the example of each token starts. */
  readonly starts: Tensor;
  /** `[T]` u32: the position of each token in its example. */
  readonly positions: Tensor;
}

/** What all blocks of a recording share: rotary tables and attention's shape. */
export interface BlockEnvironment {
  readonly config: ModelConfig;
  readonly attention: AttentionShape;
  readonly cosines: Tensor;
  readonly sines: Tensor;
  /** Null where every row is one example. */
  readonly packing: Packing | null;
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

/**
 * Rotary tables and shapes for batches of `shape`; with a cache, sequences have more positions than
 * new tokens.
 */
export function blockEnvironment(
  scope: TensorScope,
  config: ModelConfig,
  { batchSize, length, packed = false }: BatchShape,
  positions: number = length,
): BlockEnvironment {
  const tables = ropeTables(config, positions);
  const shape = [positions, config.rotaryDim / 2];
  const cosines = scope.tensor("f32", shape, "rope cosines");
  const sines = scope.tensor("f32", shape, "rope sines");
  scope.device.write(cosines, tables.cosines);
  scope.device.write(sines, tables.sines);
  const { heads, kvHeads, headDim, slidingWindow } = config;
  const words = (label: string) => scope.tensor("u32", [batchSize * length], label);
  return {
    config,
    cosines,
    sines,
    packing: packed
      ? { starts: words("starts of examples"), positions: words("positions in examples") }
      : null,
    headRows: (tensor) => scope.device.view(tensor, 0, [tensor.size / headDim, headDim]),
    attention: {
      batch: batchSize,
      length,
      heads,
      kvHeads,
      headDim,
      scale: 1 / Math.sqrt(headDim),
      ...(slidingWindow !== null && slidingWindow < positions ? { window: slidingWindow } : {}),
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

/**
 * Allocates one set of activations for blocks that take turns: of each, only what the inner activations
 * of its own adapters are differs.
 */
export function sharedActivations(
  scope: TensorScope,
  config: ModelConfig,
  tokens: number,
  blocks: readonly Block[],
): BlockActivations[] {
  const widest: Partial<Record<LinearName, Linear>> = {};
  for (const { linears } of blocks) {
    for (const linear of Object.values(linears)) {
      const { name } = linear.shape;
      const other = widest[name]?.adapter?.rank ?? 0;
      if (other <= (linear.adapter?.rank ?? 0)) widest[name] = linear;
    }
  }
  const [first] = blocks;
  if (first === undefined) return [];
  const shared = blockActivations(scope, config, tokens, {
    ...first,
    linears: { ...first.linears, ...widest },
  });
  return blocks.map(({ linears }) => {
    const hidden: Record<string, Tensor> = {};
    for (const { shape: { name }, adapter } of Object.values(linears)) {
      const tensor = shared.hidden[name];
      if (adapter === null || tensor === undefined) continue;
      hidden[name] = scope.device.view(tensor, 0, [tokens, adapter.rank], tensor.label);
    }
    return { ...shared, hidden };
  });
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
