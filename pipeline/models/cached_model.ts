/**
 * A model set up for generation: a cache of keys and values, and recordings that add tokens to it.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { CachedBlocks, type CacheShape } from "./cached_blocks.ts";
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

/** How a {@linkcode CachedModel} is set up. */
export interface CachedModelOptions extends CacheShape {
  /**
   * Whether what is computed for a sequence must be the same bits whatever `batchSize` is; see
   * `RecordOptions` in `kernels/device.ts`.
   *
   * @default false
   */
  readonly independentRows?: boolean;
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
  readonly #scope: TensorScope;
  readonly #blocks: CachedBlocks;
  readonly #independentRows: boolean;
  readonly #slots: Tensor;
  readonly #promptTokens: Tensor;
  readonly #promptSlot: Tensor;
  readonly #promptPosition: Tensor;
  readonly #step: Recording;
  readonly #prompts = new Map<string, Recording>();
  readonly #samplers = new Map<string, Recording>();

  /**
   * Allocates the cache and what a step needs.
   *
   * @throws {UserError} If `capacity` exceeds the model's positions.
   * @throws {RangeError} If a tensor is larger than the device allows.
   */
  constructor(
    model: LanguageModel,
    { batchSize, capacity, independentRows = false }: CachedModelOptions,
  ) {
    const { config, device } = model;
    this.device = device;
    this.batchSize = batchSize;
    this.capacity = capacity;
    this.#independentRows = independentRows;
    const scope = this.#scope = new TensorScope(device);
    const rows = Math.max(batchSize, promptPiece(Math.min(capacity, LONGEST_PIECE)));
    this.#blocks = new CachedBlocks(scope, model, { batchSize, capacity }, rows);
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
      const { tokens, positions } = this;
      const final = this.#blocks.record(operations, { tokens, slots: this.#slots, positions });
      operations.linear({ input: final, weight: model.head.weight, output: this.logits });
    }, { independentRows });
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
      // Tokens without earlier ones have a faster kernel, of other bits than where a piece begins later.
      const startsEmpty = position + start === 0 && !this.#independentRows;
      this.device.run(this.#promptRecording(length, startsEmpty));
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
        this.#blocks.record(operations, {
          tokens: this.device.view(this.#promptTokens, 0, [length]),
          slots: this.#promptSlot,
          positions: this.#promptPosition,
          startsEmpty,
        });
      }, { independentRows: this.#independentRows });
      this.#prompts.set(name, recording);
    }
    return recording;
  }
}

/** Tokens that are computed for a piece of `count`: few lengths, as each is recorded. */
function promptPiece(count: number): number {
  const step = count <= 64 ? 8 : 32;
  return Math.ceil(count / step) * step;
}
