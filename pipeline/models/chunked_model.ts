/**
 * A model set up for texts that are known from the start: their tokens are computed in chunks, any
 * chunks of any texts at the same time.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { CachedBlocks, type CacheShape } from "./cached_blocks.ts";
import type { LanguageModel } from "./language_model.ts";
import { TensorScope } from "./tensor_scope.ts";

/** Tokens of a chunk: few, because the last chunk of a text is computed whole. */
export const CHUNK_TOKENS = 8;

/** How a {@linkcode ChunkedModel} is set up. */
export interface ChunkedModelOptions extends CacheShape {
  /** Chunks that are computed at once, at most. */
  readonly chunks: number;
}

/** Tokens of one text that are computed together. */
export interface Chunk {
  /** Row of the cache that has the tokens before them. */
  readonly slot: number;
  /** Of the first token. */
  readonly position: number;
  /** At most {@linkcode CHUNK_TOKENS}. */
  readonly tokens: Uint32Array;
}

/**
 * Runs a {@linkcode LanguageModel} on chunks of tokens over a cache of keys and values, a row for each
 * text. What a token leaves depends on the tokens before it alone, to the last bit: neither on the other
 * chunks of a pass nor on where a text was cut into chunks.
 */
export class ChunkedModel {
  readonly device: Device;
  /** Rows of the cache. */
  readonly batchSize: number;
  /** Tokens that a text can have. */
  readonly capacity: number;
  /** Chunks that are computed at once, at most. */
  readonly chunks: number;
  /**
   * `[chunks * CHUNK_TOKENS, hidden]`: the final hidden states of the last pass, after normalization.
   * Token `t` of chunk `c` is in row `c * CHUNK_TOKENS + t`.
   */
  readonly final: Tensor;
  readonly #scope: TensorScope;
  readonly #blocks: CachedBlocks;
  readonly #tokens: Tensor;
  readonly #slots: Tensor;
  readonly #positions: Tensor;
  readonly #passes = new Map<number, Recording>();

  /**
   * Allocates the cache, and records the largest pass.
   *
   * @throws {UserError} If `capacity` exceeds the model's positions.
   * @throws {RangeError} If a tensor is larger than the device allows.
   */
  constructor(model: LanguageModel, { batchSize, capacity, chunks }: ChunkedModelOptions) {
    const { device, config } = model;
    this.device = device;
    this.batchSize = batchSize;
    this.capacity = capacity;
    this.chunks = chunks;
    const scope = this.#scope = new TensorScope(device);
    const rows = chunks * CHUNK_TOKENS;
    this.#blocks = new CachedBlocks(scope, model, { batchSize, capacity }, rows);
    this.final = device.view(this.#blocks.final, 0, [rows, config.hiddenSize]);
    this.#tokens = scope.tensor("u32", [rows], "tokens of chunks");
    this.#slots = scope.tensor("u32", [chunks], "slots of chunks");
    this.#positions = scope.tensor("u32", [chunks], "positions of chunks");
    this.#pass(chunks);
  }

  /**
   * Queues a pass. Chunks of one text that follow one another may be in one pass; then the tokens of
   * later ones see those of earlier ones.
   *
   * @throws {RangeError} If there are more chunks than the model is set up for, or more tokens in one,
   * or they reach beyond the cache.
   */
  run(chunks: readonly Chunk[]): void {
    if (chunks.length > this.chunks) {
      throw new RangeError(`${chunks.length} chunks do not fit a pass of ${this.chunks}`);
    }
    const count = passSize(chunks.length, this.chunks);
    const tokens = new Uint32Array(count * CHUNK_TOKENS);
    const slots = new Uint32Array(count);
    // What is computed beyond the chunks is kept nowhere.
    const positions = new Uint32Array(count).fill(this.capacity);
    chunks.forEach((chunk, index) => {
      if (chunk.tokens.length > CHUNK_TOKENS) {
        throw new RangeError(`A chunk has ${chunk.tokens.length} tokens, at most ${CHUNK_TOKENS}`);
      }
      if (chunk.position + chunk.tokens.length > this.capacity) {
        throw new RangeError(
          `${chunk.tokens.length} tokens from position ${chunk.position} on do not fit a cache of ` +
            `${this.capacity} positions`,
        );
      }
      tokens.set(chunk.tokens, index * CHUNK_TOKENS);
      slots[index] = chunk.slot;
      positions[index] = chunk.position;
    });
    this.device.write(this.#tokens, tokens);
    this.device.write(this.#slots, slots);
    this.device.write(this.#positions, positions);
    this.device.run(this.#pass(count));
  }

  /** Queues a copy of what the cache has of the first `count` tokens of a text to another row. */
  copyRow(from: number, to: number, count: number): void {
    this.#blocks.copyRow(from, to, count);
  }

  /** Frees everything but the model. */
  release(): void {
    for (const recording of this.#passes.values()) recording.release();
    this.#scope.release();
  }

  #pass(count: number): Recording {
    let recording = this.#passes.get(count);
    if (recording === undefined) {
      const { device } = this;
      recording = device.record(`${count} chunks`, (operations) => {
        this.#blocks.record(operations, {
          tokens: device.view(this.#tokens, 0, [count * CHUNK_TOKENS]),
          slots: device.view(this.#slots, 0, [count]),
          positions: device.view(this.#positions, 0, [count]),
        });
      }, { independentRows: true });
      this.#passes.set(count, recording);
    }
    return recording;
  }
}

/** The size of the recording for `count` items: few sizes, as each is recorded, up to `most`. */
export function passSize(count: number, most: number): number {
  const power = 2 ** Math.ceil(Math.log2(Math.max(count, 1)));
  const size = power * 3 / 4 >= count ? power * 3 / 4 : power;
  return Math.min(Math.max(Math.ceil(size), 1), most);
}
