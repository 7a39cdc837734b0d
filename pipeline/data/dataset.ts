/**
 * What training and evaluation see of data: numbered examples of token ids with a mask of the tokens
 * to learn.
 *
 * @module
 */

/** One row of a batch, at most the dataset's `length` tokens. */
export interface Example {
  readonly tokens: Uint32Array;
  /**
   * 1 where the token is a target (predicted from those before it), 0 where it is only read. The
   * first token of a row is never a target.
   */
  readonly targets: Uint8Array;
  /**
   * Where the examples that were packed into the row start, ascending from 0; absent for one example.
   * The first token of each is never a target.
   */
  readonly starts?: readonly number[];
}

/** Numbered examples, read in any order. */
export interface Dataset {
  readonly size: number;
  /** Longest example; batches are padded to it. */
  readonly length: number;
  /** Tokens in all examples together. */
  readonly tokens: number;
  /** What a person should know of it ("3 of 200 rows were cut to 256 tokens"), to be logged. */
  readonly remarks?: readonly string[];
  example(index: number): Example;
}
