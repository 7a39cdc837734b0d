// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * A map from pairs of integers to integers, for tables with hundreds of thousands of entries that
 * are asked once for every character of a text: merges, edges of tries, neighbouring characters.
 *
 * @module
 */

const EMPTY = -1;

/**
 * Pairs of 32-bit integers and what they stand for, an integer >= 0. Open addressing in typed arrays:
 * no object per entry, and no key that has to be built for a look-up.
 *
 * @example
 * ```ts
 * import { PairTable } from "./pair_table.ts";
 *
 * const table = new PairTable();
 * table.set(7, 2, 41);
 * if (table.get(7, 2) !== 41 || table.get(2, 7) !== -1) throw new Error("order matters");
 * ```
 */
export class PairTable {
  #size = 0;
  #lefts = new Int32Array(64);
  #rights = new Int32Array(64);
  #values = new Int32Array(64).fill(EMPTY);

  /** Number of pairs. */
  get size(): number {
    return this.#size;
  }

  /** What a pair stands for; -1 if it is not in the table. */
  get(left: number, right: number): number {
    return this.#values[this.#slot(left, right)]!;
  }

  /** Sets what a pair stands for, an integer >= 0. */
  set(left: number, right: number, value: number): void {
    let slot = this.#slot(left, right);
    if (this.#values[slot] === EMPTY) {
      this.#size++;
      if (2 * this.#size > this.#values.length) {
        this.#grow();
        slot = this.#slot(left, right);
      }
      this.#lefts[slot] = left;
      this.#rights[slot] = right;
    }
    this.#values[slot] = value;
  }

  /** Where a pair is, or would go. */
  #slot(left: number, right: number): number {
    const mask = this.#values.length - 1;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (
      this.#values[slot] !== EMPTY && (this.#lefts[slot] !== left || this.#rights[slot] !== right)
    ) {
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #grow(): void {
    const [lefts, rights, values] = [this.#lefts, this.#rights, this.#values];
    this.#lefts = new Int32Array(2 * lefts.length);
    this.#rights = new Int32Array(2 * lefts.length);
    this.#values = new Int32Array(2 * lefts.length).fill(EMPTY);
    for (let i = 0; i < values.length; i++) {
      if (values[i] === EMPTY) continue;
      const slot = this.#slot(lefts[i]!, rights[i]!);
      this.#lefts[slot] = lefts[i]!;
      this.#rights[slot] = rights[i]!;
      this.#values[slot] = values[i]!;
    }
  }
}
