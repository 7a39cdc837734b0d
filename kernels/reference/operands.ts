/**
 * The arrays behind the arguments of operations.
 *
 * @module
 */

import type { KeyValueCache, LowRank, Tensor, Weight } from "../device.ts";
import type { CacheArrays } from "./cache.ts";
import type { LowRankFactors } from "./low_rank.ts";
import type { Allocation, Memory } from "./memory.ts";
import {
  dequantizeAbsmax,
  dequantizeCodebook,
  dequantizeInteger,
  dequantizeNf4,
} from "./weight.ts";

/** Resolves tensors, and remembers which allocations they belong to. */
export class Operands {
  /** Every allocation that was resolved. */
  readonly allocations: Set<Allocation> = new Set();
  readonly #memory: Memory;

  /** Resolves tensors of `memory`. */
  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** The elements of a tensor, whatever their type. */
  data(tensor: Tensor): Float64Array | Uint32Array {
    this.allocations.add(this.#memory.allocationOf(tensor));
    return this.#memory.data(tensor);
  }

  /** The elements of an f32 tensor. */
  floats(tensor: Tensor): Float64Array {
    this.allocations.add(this.#memory.allocationOf(tensor));
    return this.#memory.floats(tensor);
  }

  /** The elements of a u32 tensor. */
  words(tensor: Tensor): Uint32Array {
    this.allocations.add(this.#memory.allocationOf(tensor));
    return this.#memory.words(tensor);
  }

  /** The elements of a key-value cache. */
  cache({ keyCache, valueCache, slots, positions }: KeyValueCache): CacheArrays {
    return {
      keys: this.floats(keyCache),
      values: this.floats(valueCache),
      slots: this.words(slots),
      positions: this.words(positions),
    };
  }

  /** The elements of an f32 tensor, if there is one. */
  optional(tensor: Tensor | null | undefined): Float64Array | null {
    return tensor ? this.floats(tensor) : null;
  }

  /** The dense values `[rows, columns]` of a weight at the time of the call. */
  weight(weight: Weight): () => Float64Array {
    switch (weight.format) {
      case "dense": {
        const values = this.floats(weight.values);
        return () => values;
      }
      case "integer": {
        const codes = this.words(weight.codes);
        const scales = this.floats(weight.scales);
        const zeros = this.floats(weight.zeros);
        return () => dequantizeInteger(codes, scales, zeros, weight);
      }
      case "codebook": {
        const codes = this.words(weight.codes);
        const levels = this.floats(weight.levels);
        return () => dequantizeCodebook(codes, levels, weight);
      }
      case "nf4": {
        const codes = this.words(weight.codes);
        const absmax = this.#absmax(weight);
        return () => dequantizeNf4(codes, absmax(), weight.rows, weight.columns);
      }
    }
  }

  #absmax({ absmax, rows, columns }: Extract<Weight, { format: "nf4" }>): () => Float64Array {
    if (absmax.kind === "plain") {
      const values = this.floats(absmax.values);
      return () => values;
    }
    const codes = this.words(absmax.codes);
    const scales = this.floats(absmax.scales);
    const offset = this.floats(absmax.offset);
    return () => dequantizeAbsmax(codes, scales, offset[0] as number, rows * columns / 64);
  }

  /** The settings of an adapter product, with the key of its dropout. */
  factors(
    { pool, repeat, scale, dropout }: Pick<LowRank, "pool" | "repeat" | "scale" | "dropout">,
  ): LowRankFactors {
    const mask = dropout ? { ...dropout, key: this.words(dropout.key) } : null;
    return { pool, repeat, scale, mask };
  }
}
