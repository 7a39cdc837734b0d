/**
 * Examples of chosen lengths.
 *
 * @module
 */

import { RandomStream } from "../../../kernels/random.ts";
import type { Dataset, Example } from "../../data/dataset.ts";

/** Token ids of {@linkcode examplesOf}. */
export const VOCABULARY = 13;

/** Examples of random tokens, for rows of `length`; all but the first two tokens are learned. */
export function examplesOf(lengths: readonly number[], length: number): Dataset {
  const random = new RandomStream(3, "examples");
  const examples = lengths.map((size, index): Example => ({
    tokens: Uint32Array.from(
      { length: size },
      (_, position) => Math.floor(VOCABULARY * random.uniform(100 * index + position)),
    ),
    targets: new Uint8Array(size).fill(1, Math.min(2, size - 1)),
  }));
  return {
    size: examples.length,
    length,
    tokens: lengths.reduce((sum, size) => sum + size, 0),
    example(index) {
      const example = examples[index];
      if (example === undefined) throw new RangeError(`There is no example ${index}`);
      return example;
    },
  };
}
