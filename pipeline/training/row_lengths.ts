/**
 * Batches of rows that are shorter than the longest allowed, padded no further than they need.
 *
 * @module
 */

import type { Example } from "../data/dataset.ts";
import type { BatchModel } from "../models/batch_model.ts";

/** Shares of the longest row; each is one more recording, with scratch memory of its own. */
const SHARES = [3 / 4, 1 / 2, 1 / 4, 1 / 8, 1 / 16];

/** Tokens below which no other length is worth having. */
const LEAST = 16;

/**
 * The lengths that batches are padded to, longest first.
 *
 * @example
 * ```ts
 * import { paddedLengths } from "./row_lengths.ts";
 *
 * if (`${paddedLengths(100)}` !== "100,75,50,25") throw new Error("an eighth is 12.5");
 * ```
 */
export function paddedLengths(length: number): number[] {
  const shorter = SHARES.map((share) => Math.ceil(share * length));
  return [length, ...shorter.filter((value) => value < length && value >= LEAST)];
}

/**
 * A model for batches of several lengths, which share the memory of the longest. A recording is made
 * when the first batch of its length comes.
 */
export class RowLengths {
  readonly #longest: BatchModel;
  readonly #lengths: readonly number[];
  readonly #shorter = new Map<number, BatchModel>();

  /** Of the {@linkcode paddedLengths} of `longest`, which has to be released after this. */
  constructor(longest: BatchModel) {
    this.#longest = longest;
    this.#lengths = paddedLengths(longest.length).reverse();
  }

  /** The model for the shortest length that has room for all of these rows. */
  fitting(rows: readonly Example[]): BatchModel {
    const tokens = Math.max(...rows.map(({ tokens }) => tokens.length));
    return this.#at(this.#lengths.find((length) => length >= tokens) ?? this.#longest.length);
  }

  /** Records everything that a batch could need. */
  recordAll(): void {
    for (const length of this.#lengths) this.#at(length).forwardBackward;
  }

  /** Frees the recordings of all lengths but the longest. */
  release(): void {
    for (const model of this.#shorter.values()) model.release();
    this.#shorter.clear();
  }

  #at(length: number): BatchModel {
    if (length === this.#longest.length) return this.#longest;
    const model = this.#shorter.get(length) ?? this.#longest.shorter(length);
    this.#shorter.set(length, model);
    return model;
  }
}
