/**
 * Looking for any of many strings at a place in a text.
 *
 * @module
 */

import { PairTable } from "./pair_table.ts";

const ROOT = 0;

/**
 * Strings with a number each; finds those that a text has at a position.
 *
 * @example
 * ```ts
 * import { Trie } from "./trie.ts";
 *
 * const trie = new Trie([["a", 5], ["abc", 6]]);
 * if (trie.longest("xabcd", 1)?.value !== 6) throw new Error("abc is the longest");
 * ```
 */
export class Trie {
  /** Next node by node and UTF-16 code unit. */
  readonly #edges = new PairTable();
  /** Number of the string that ends at a node. */
  readonly #values: (number | undefined)[] = [undefined];

  /** Adds strings that are not empty; of equal ones the first counts. */
  constructor(entries: Iterable<readonly [string, number]>) {
    for (const [text, value] of entries) {
      let node = ROOT;
      for (let i = 0; i < text.length; i++) {
        const unit = text.charCodeAt(i);
        let child = this.#edges.get(node, unit);
        if (child < 0) {
          child = this.#values.length;
          this.#values.push(undefined);
          this.#edges.set(node, unit, child);
        }
        node = child;
      }
      if (node !== ROOT) this.#values[node] ??= value;
    }
  }

  /** Calls `onMatch` for every string that `text` has at `start`, the shortest first. */
  match(text: string, start: number, onMatch: (value: number, end: number) => void): void {
    let node = ROOT;
    for (let position = start; position < text.length;) {
      node = this.#edges.get(node, text.charCodeAt(position++));
      if (node < 0) return;
      const value = this.#values[node];
      if (value !== undefined) onMatch(value, position);
    }
  }

  /** The longest string that `text` has at `start`, or null. */
  longest(text: string, start: number): { readonly value: number; readonly end: number } | null {
    let found = null;
    this.match(text, start, (value, end) => found = { value, end });
    return found;
  }
}
