/**
 * A model set up for generation: a cache of keys and values, and recordings that add tokens to it.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";
import { forwardBlock } from "./block.ts";
import {
  type BlockActivations,
  type BlockEnvironment,
  blockEnvironment,
  sharedActivations,
} from "./block_tensors.ts";
import type { LanguageModel } from "./language_model.ts";
import { TensorScope } from "./tensor_scope.ts";

/** How to draw a token; see `Operations.sample`. */
export interface SamplingOptions {
  /**
   * 0 takes the likeliest token.
   *
   * @default 0
   */
  readonly temperature?: number;
  /** Draws from this many of the likeliest tokens; default: from all. */
  readonly topK?: number;
  /** Draws from the likeliest tokens that have this share of the probability; default: from all. */
  readonly topP?: number;
}

/** Size of a {@linkcode CachedModel}. */
export interface CacheShape {
  /** Sequences that grow at once. */
  readonly batchSize: number;
  /** Tokens that a sequence can have, of prompt and continuation together. */
  readonly capacity: number;
}

/** Tokens of a prompt that are computed at once, at most. */
const LONGEST_PIECE = 256;

/**
 * Runs a {@linkcode LanguageModel} token by token, for `batchSize` sequences with a cache row each.
 *
 * A prompt but for its last token is put into a row by {@linkcode CachedModel.prefill}. From then on
 * every {@linkcode CachedModel.step} takes one token of every sequence and its position, and computes
 * the logits of the next; {@linkcode CachedModel.sample} draws it into `tokens`, where the next step
 * finds it. Nothing waits for the device.
 */
export class CachedModel {
  readonly device: Device;
  readonly batchSize: number;
  /** Tokens that a sequence can have. */
  readonly capacity: number;
  /** `[batchSize]` u32: the newest token of each sequence, not yet in the cache. */
  readonly tokens: Tensor;
  /** `[batchSize]` u32: its position. */
  readonly positions: Tensor;
  /** `[batchSize, 2]` u32: the random key of each sequence; positions count its draws. */
  readonly keys: Tensor;
  /** `[batchSize, vocab]`. */
  readonly logits: Tensor;
  /** `[batchSize]`: of the tokens drawn last, see `Operations.sample`. */
  readonly logProbabilities: Tensor;
  readonly #model: LanguageModel;
  readonly #scope: TensorScope;
  readonly #environment: BlockEnvironment;
  readonly #caches: readonly { readonly keyCache: Tensor; readonly valueCache: Tensor }[];
  /** Activations of each block for as many tokens as are ever computed at once. */
  readonly #activations: readonly BlockActivations[];
  /** Two tensors, taken in turn, carry the residual stream. */
  readonly #residuals: readonly [Tensor, Tensor];
  readonly #final: Tensor;
  readonly #slots: Tensor;
  readonly #promptTokens: Tensor;
  readonly #promptSlot: Tensor;
  readonly #promptPosition: Tensor;
  readonly #step: Recording;
  readonly #prompts = new Map<string, Recording>();
  readonly #samplers = new Map<string, Recording>();

  /**
   * Allocates the cache: `2 * layers * batchSize * capacity * kvHeads * headDim` floats.
   *
   * @throws {UserError} If `capacity` exceeds the model's positions.
   * @throws {RangeError} If a tensor is larger than the device allows.
   */
  constructor(model: LanguageModel, { batchSize, capacity }: CacheShape) {
    const { config, device } = model;
    if (capacity > config.maxPositions) {
      throw new UserError(
        `Prompts and continuations of ${capacity} tokens do not fit the model's ` +
          `${config.maxPositions} positions (max_position_embeddings); shorten the prompts, or ` +
          `generate fewer tokens`,
      );
    }
    this.#model = model;
    this.device = device;
    this.batchSize = batchSize;
    this.capacity = capacity;
    const scope = this.#scope = new TensorScope(device);
    const rows = Math.max(batchSize, promptPiece(Math.min(capacity, LONGEST_PIECE)));
    const hidden = (label: string) => scope.tensor("f32", [rows, config.hiddenSize], label);
    this.#environment = blockEnvironment(scope, config, { batchSize, length: 1 }, capacity);
    this.#caches = model.blocks.map((_, layer) => {
      const cache = (label: string) =>
        scope.tensor(
          "f32",
          [batchSize, capacity, config.kvHeads * config.headDim],
          `${label} cache of block ${layer}`,
        );
      return { keyCache: cache("key"), valueCache: cache("value") };
    });
    this.#activations = sharedActivations(scope, config, rows, model.blocks);
    this.#residuals = [hidden("residual stream"), hidden("residual stream")];
    this.#final = hidden("final hidden states");
    this.tokens = scope.tensor("u32", [batchSize], "newest tokens");
    this.positions = scope.tensor("u32", [batchSize], "positions");
    this.keys = scope.tensor("u32", [batchSize, 2], "random keys");
    this.logits = scope.tensor("f32", [batchSize, config.vocabSize], "logits");
    this.logProbabilities = scope.tensor("f32", [batchSize], "log-probabilities");
    this.#slots = scope.tensor("u32", [batchSize], "slots");
    device.write(this.#slots, Uint32Array.from({ length: batchSize }, (_, slot) => slot));
    this.#promptTokens = scope.tensor("u32", [rows], "prompt tokens");
    this.#promptSlot = scope.tensor("u32", [1], "slot of the prompt");
    this.#promptPosition = scope.tensor("u32", [1], "position in the prompt");
    this.#step = device.record("generation step", (operations) => {
      const final = this.#recordBlocks(operations, batchSize, {
        tokens: this.tokens,
        slots: this.#slots,
        positions: this.positions,
      });
      operations.linear({ input: final, weight: model.head.weight, output: this.logits });
    });
  }

  /**
   * Queues the computation of keys and values for tokens of one sequence, from `position` on.
   *
   * @throws {RangeError} If they do not fit the cache.
   */
  prefill(slot: number, tokens: Uint32Array, position = 0): void {
    if (position + tokens.length > this.capacity) {
      throw new RangeError(
        `${tokens.length} tokens from position ${position} on do not fit a cache of ` +
          `${this.capacity} positions`,
      );
    }
    this.device.write(this.#promptSlot, Uint32Array.of(slot));
    for (let start = 0; start < tokens.length; start += LONGEST_PIECE) {
      const piece = tokens.subarray(start, start + LONGEST_PIECE);
      // What is computed beyond the piece lies where the next tokens will be written.
      const length = promptPiece(piece.length);
      this.device.write(this.#promptTokens, piece);
      this.device.write(this.#promptPosition, Uint32Array.of(position + start));
      this.device.run(this.#promptRecording(length, position + start === 0));
    }
  }

  /** Queues one step of all sequences: caches `tokens` at `positions` and computes `logits`. */
  step(): void {
    this.device.run(this.#step);
  }

  /** Queues a draw from `logits` into `tokens` and `logProbabilities`. */
  sample({ temperature = 0, topK, topP }: SamplingOptions = {}): void {
    const name = `${temperature} ${topK} ${topP}`;
    let recording = this.#samplers.get(name);
    if (recording === undefined) {
      const { logits, keys, positions: counters, tokens, logProbabilities } = this;
      recording = this.device.record("sample", (operations) =>
        operations.sample({
          logits,
          keys,
          counters,
          temperature,
          ...(topK === undefined ? {} : { topK }),
          ...(topP === undefined ? {} : { topP }),
          tokens,
          logProbabilities,
        }));
      this.#samplers.set(name, recording);
    }
    this.device.run(recording);
  }

  /** Frees everything but the model. */
  release(): void {
    for (const recordings of [[this.#step], this.#prompts.values(), this.#samplers.values()]) {
      for (const recording of recordings) recording.release();
    }
    this.#scope.release();
  }

  #promptRecording(length: number, startsEmpty: boolean): Recording {
    const name = `${startsEmpty ? "start" : "middle"} of a prompt, ${length}`;
    let recording = this.#prompts.get(name);
    if (recording === undefined) {
      recording = this.device.record(name, (operations) => {
        this.#recordBlocks(operations, length, {
          tokens: this.device.view(this.#promptTokens, 0, [length]),
          slots: this.#promptSlot,
          positions: this.#promptPosition,
          startsEmpty,
        });
      });
      this.#prompts.set(name, recording);
    }
    return recording;
  }

  /** Records the model but for its head and returns the final hidden states `[count, hidden]`. */
  #recordBlocks(
    operations: Operations,
    count: number,
    { tokens, slots, positions, startsEmpty = false }: {
      readonly tokens: Tensor;
      readonly slots: Tensor;
      readonly positions: Tensor;
      readonly startsEmpty?: boolean;
    },
  ): Tensor {
    const { config, embedding, blocks, finalNorm } = this.#model;
    const top = (tensor: Tensor) => topRows(this.device, tensor, count);
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
    const output = top(this.#final);
    operations.rmsNorm({
      input: blocks.length % 2 === 0 ? even : odd,
      weight: finalNorm.value,
      output,
      epsilon: config.normEpsilon,
    });
    return output;
  }
}

/** Tokens that are computed for a piece of `count`: few lengths, as each is recorded. */
function promptPiece(count: number): number {
  const step = count <= 64 ? 8 : 32;
  return Math.ceil(count / step) * step;
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
