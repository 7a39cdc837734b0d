/**
 * The blocks of a model over a cache of keys and values: what recordings that add tokens to sequences
 * have in common.
 *
 * @module
 */

import type { Device, Operations, Tensor } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import { forwardBlock } from "./block.ts";
import {
  type BlockActivations,
  type BlockEnvironment,
  blockEnvironment,
  sharedActivations,
} from "./block_tensors.ts";
import type { LanguageModel } from "./language_model.ts";
import type { TensorScope } from "./tensor_scope.ts";

/** Size of a cache. */
export interface CacheShape {
  /** Sequences that grow at once. */
  readonly batchSize: number;
  /** Tokens that a sequence can have, of prompt and continuation together. */
  readonly capacity: number;
}

/** Tokens that a recording adds, and where they go. */
export interface NewTokens {
  /** `[count]` u32: as many of each sequence. */
  readonly tokens: Tensor;
  /** `[sequences]` u32; see `KeyValueCache` in `kernels/device.ts`. */
  readonly slots: Tensor;
  /** `[sequences]` u32. */
  readonly positions: Tensor;
  /** There are no earlier tokens: the new ones see each other only, whatever the cache holds. */
  readonly startsEmpty?: boolean;
}

/** Keys and values of a block, `[batchSize, capacity, kvHeads * headDim]` each. */
interface BlockCache {
  readonly keyCache: Tensor;
  readonly valueCache: Tensor;
}

/** A cache of a {@linkcode LanguageModel}, and memory to add up to `rows` tokens to it at once. */
export class CachedBlocks {
  readonly #model: LanguageModel;
  readonly #device: Device;
  readonly #environment: BlockEnvironment;
  readonly #caches: readonly BlockCache[];
  /** Activations of each block for as many tokens as are ever computed at once. */
  readonly #activations: readonly BlockActivations[];
  /** Two tensors, taken in turn, carry the residual stream. */
  readonly #residuals: readonly [Tensor, Tensor];
  /** `[rows, hidden]`: the final hidden states of the newest tokens, after normalization. */
  readonly final: Tensor;

  /**
   * Allocates in `scope`; the cache has `2 * layers * batchSize * capacity * kvHeads * headDim` floats.
   *
   * @throws {UserError} If `capacity` exceeds the model's positions.
   * @throws {RangeError} If a tensor is larger than the device allows.
   */
  constructor(
    scope: TensorScope,
    model: LanguageModel,
    { batchSize, capacity }: CacheShape,
    rows: number,
  ) {
    const { config } = model;
    if (capacity > config.maxPositions) {
      throw new UserError(
        `Prompts and continuations of ${capacity} tokens do not fit the model's ` +
          `${config.maxPositions} positions (max_position_embeddings); shorten the prompts, or ` +
          `generate fewer tokens`,
      );
    }
    this.#model = model;
    this.#device = scope.device;
    const hidden = (label: string) => scope.tensor("f32", [rows, config.hiddenSize], label);
    this.#environment = blockEnvironment(scope, config, { batchSize, length: 1 }, capacity);
    const shape = [batchSize, capacity, config.kvHeads * config.headDim];
    this.#caches = model.blocks.map((_, layer) => ({
      keyCache: scope.tensor("f32", shape, `key cache of block ${layer}`),
      valueCache: scope.tensor("f32", shape, `value cache of block ${layer}`),
    }));
    this.#activations = sharedActivations(scope, config, rows, model.blocks);
    this.#residuals = [hidden("residual stream"), hidden("residual stream")];
    this.final = hidden("final hidden states");
  }

  /** Records the model but for its head and returns the final hidden states `[count, hidden]`. */
  record(
    operations: Operations,
    { tokens, slots, positions, startsEmpty = false }: NewTokens,
  ): Tensor {
    const { config, embedding, blocks, finalNorm } = this.#model;
    const count = tokens.size;
    const top = (tensor: Tensor) => topRows(this.#device, tensor, count);
    const batch = slots.size;
    const attention = { ...this.#environment.attention, batch, length: count / batch };
    const environment = { ...this.#environment, attention };
    const [even, odd] = this.#residuals.map(top) as [Tensor, Tensor];
    operations.embedding({ tokens, table: embedding.value, output: even });
    blocks.forEach((block, layer) => {
      const [input, output] = layer % 2 === 0 ? [even, odd] : [odd, even];
      const activations = topActivations(at(this.#activations, layer), top);
      const cache = { ...at(this.#caches, layer), slots, positions };
      forwardBlock(operations, environment, block, activations, input, output, {
        dropout: false,
        cache,
        startsEmpty,
      });
    });
    const output = top(this.final);
    operations.rmsNorm({
      input: blocks.length % 2 === 0 ? even : odd,
      weight: finalNorm.value,
      output,
      epsilon: config.normEpsilon,
    });
    return output;
  }

  /** Queues a copy of the first `count` positions of a row of the cache to another row. */
  copyRow(from: number, to: number, count: number): void {
    for (const { keyCache, valueCache } of this.#caches) {
      for (const cache of [keyCache, valueCache]) {
        const [, capacity = 0, width = 0] = cache.shape;
        const row = capacity * width;
        this.#device.copy(cache, from * row, cache, to * row, count * width);
      }
    }
  }
}

/** The first `count` rows of a matrix. */
function topRows(device: Device, tensor: Tensor, count: number): Tensor {
  const width = tensor.shape.at(-1) ?? 1;
  return device.view(tensor, 0, [count, width], tensor.label);
}

/** The first rows of all activations of a block. */
function topActivations(
  { hidden, ...others }: BlockActivations,
  top: (tensor: Tensor) => Tensor,
): BlockActivations {
  const views = <Names extends string>(tensors: Readonly<Record<Names, Tensor>>) =>
    Object.fromEntries(
      Object.entries<Tensor>(tensors).map(([name, tensor]) => [name, top(tensor)]),
    ) as Record<Names, Tensor>;
  return { ...views(others), hidden: views(hidden) };
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) {
    throw new RangeError(`Index ${index} is outside a list of ${list.length}`);
  }
  return item;
}
