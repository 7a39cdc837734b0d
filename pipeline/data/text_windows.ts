/**
 * Text as rows to train on: one stream of tokens, cut into windows.
 *
 * @module
 */

import type { Dataset, Example } from "./dataset.ts";

/**
 * Consecutive windows of a stream of tokens, as Hugging Face cuts them: without overlap, every token
 * but a window's first a target, what is left over at the end dropped.
 *
 * @example
 * ```ts
 * import { TextWindows } from "./text_windows.ts";
 *
 * const windows = new TextWindows(Uint32Array.of(1, 2, 3, 4, 5, 6, 7), 3);
 * if (windows.size !== 2) throw new Error("token 7 is left over");
 * const { tokens, targets } = windows.example(1);
 * if (`${tokens} ${targets}` !== "4,5,6 0,1,1") throw new Error("the first is only read");
 * ```
 */
export class TextWindows implements Dataset {
  /** Number of windows. */
  readonly size: number;
  /** Tokens of a window. */
  readonly length: number;
  /** Tokens in all windows together. */
  readonly tokens: number;
  readonly #stream: Uint32Array;
  readonly #targets: Uint8Array;

  /**
   * Cuts a stream.
   *
   * @param stream The concatenated documents; not copied.
   * @param length Tokens of a window.
   * @throws {RangeError} If `length` is less than 2, which leaves no target.
   */
  constructor(stream: Uint32Array, length: number) {
    if (!(Number.isInteger(length) && length >= 2)) {
      throw new RangeError(`Cannot cut windows of ${length} tokens: 2 or more are needed`);
    }
    this.size = Math.floor(stream.length / length);
    this.length = length;
    this.tokens = this.size * length;
    this.#stream = stream;
    this.#targets = new Uint8Array(length).fill(1, 1);
  }

  /**
   * Window `index`: views that must not be written to.
   *
   * @throws {RangeError} If there is no such window.
   */
  example(index: number): Example {
    if (!(index >= 0 && index < this.size)) {
      throw new RangeError(`There is no window ${index}: the text has ${this.size}`);
    }
    const start = index * this.length;
    return {
      tokens: this.#stream.subarray(start, start + this.length),
      targets: this.#targets,
    };
  }
}

/** Documents joined into one stream, as they are. */
export function concatenate(documents: readonly Uint32Array[]): Uint32Array<ArrayBuffer> {
  const stream = new Uint32Array(documents.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const document of documents) {
    stream.set(document, offset);
    offset += document.length;
  }
  return stream;
}
