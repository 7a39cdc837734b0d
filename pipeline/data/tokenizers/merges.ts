// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * The merging of byte-pair encodings (Sennrich et al. 2016), which byte-level, SentencePiece and
 * tiktoken vocabularies share: of all neighbouring symbols that may be joined, those of the lowest
 * rank are joined first, of equal ones the leftmost, until none is left.
 *
 * @module
 */

import { PairTable } from "./pair_table.ts";

/** A place in the queue is `rank * POSITIONS + position`: below 2^53 for ranks below 2^24. */
const POSITIONS = 2 ** 28;

/**
 * Which pairs of symbols become which symbol, and in which order.
 *
 * @example
 * ```ts
 * import { Merges } from "./merges.ts";
 *
 * const [l, o, w, lo, low] = [0, 1, 2, 3, 4];
 * const merges = new Merges();
 * merges.add(l, o, 0, lo);
 * merges.add(lo, w, 1, low);
 * if (merges.apply([l, o, w, l, o]).join() !== "4,3") throw new Error("low, lo");
 * ```
 */
export class Merges {
  readonly #pairs = new PairTable();
  readonly #ranks: number[] = [];
  readonly #symbols: number[] = [];

  /** Number of pairs that merge. */
  get size(): number {
    return this.#pairs.size;
  }

  /** Lets `left` and `right` become `symbol`; a lower `rank` (an integer >= 0) goes first. */
  add(left: number, right: number, rank: number, symbol: number): void {
    this.#pairs.set(left, right, this.#ranks.length);
    this.#ranks.push(rank);
    this.#symbols.push(symbol);
  }

  /**
   * Lets every two symbols that together spell `token` become `symbol`, as vocabularies without a
   * list of merges want it.
   *
   * @param symbolOf The symbol of a part of the token, if there is one.
   */
  addSplits(
    token: string,
    rank: number,
    symbol: number,
    symbolOf: (part: string) => number | undefined,
  ): void {
    for (let middle = 1; middle < token.length; middle++) {
      const left = symbolOf(token.slice(0, middle));
      const right = left === undefined ? undefined : symbolOf(token.slice(middle));
      if (left !== undefined && right !== undefined) this.add(left, right, rank, symbol);
    }
  }

  /**
   * Merges symbols until no pair is left, in O(n log n).
   *
   * @param onCandidate Is told of every pair that becomes neighbours and may merge, in order.
   */
  apply(
    symbols: readonly number[],
    onCandidate?: (left: number, right: number, symbol: number) => void,
  ): number[] {
    const count = symbols.length;
    const current = Int32Array.from(symbols);
    const next = Int32Array.from(symbols, (_, index) => index + 1);
    const previous = Int32Array.from(symbols, (_, index) => index - 1);
    /** Index of the merge of a symbol with the one after it. */
    const merges = new Int32Array(count).fill(-1);
    const queue: number[] = [];

    const consider = (position: number) => {
      const after = next[position]!;
      const merge = after < count ? this.#pairs.get(current[position]!, current[after]!) : -1;
      merges[position] = merge;
      if (merge < 0) return;
      onCandidate?.(current[position]!, current[after]!, this.#symbols[merge]!);
      push(queue, this.#ranks[merge]! * POSITIONS + position);
    };
    for (let position = 0; position + 1 < count; position++) consider(position);

    while (queue.length > 0) {
      const entry = pop(queue);
      const position = entry % POSITIONS;
      const merge = merges[position]!;
      // An entry outlives its pair when a neighbour is merged first.
      if (merge < 0 || this.#ranks[merge] !== Math.floor(entry / POSITIONS)) continue;
      const merged = next[position]!;
      merges[merged] = -1;
      current[position] = this.#symbols[merge]!;
      next[position] = next[merged]!;
      if (next[merged]! < count) previous[next[merged]!] = position;
      if (previous[position]! >= 0) consider(previous[position]!);
      consider(position);
    }

    const result: number[] = [];
    for (let position = 0; position < count; position = next[position]!) {
      result.push(current[position]!);
    }
    return result;
  }
}

/** Adds to a binary heap with the smallest number on top. */
function push(heap: number[], value: number): void {
  let index = heap.length;
  heap.push(value);
  while (index > 0) {
    const parent = (index - 1) >> 1;
    if (heap[parent]! <= value) break;
    heap[index] = heap[parent]!;
    index = parent;
  }
  heap[index] = value;
}

/** Takes the smallest number of a heap that is not empty. */
function pop(heap: number[]): number {
  const top = heap[0]!;
  const value = heap.pop()!;
  const count = heap.length;
  if (count === 0) return top;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= count) break;
    if (child + 1 < count && heap[child + 1]! < heap[child]!) child++;
    if (heap[child]! >= value) break;
    heap[index] = heap[child]!;
    index = child;
  }
  heap[index] = value;
  return top;
}
