/**
 * Sizes at which kernels are timed.
 *
 * @module
 */

/** Sizes of one model, or of a part of one layer. */
export interface BenchmarkSize {
  /** Rows of every linear layer: batch times length. */
  readonly tokens: number;
  /** Inputs of the linear layer. */
  readonly inputs: number;
  /** Outputs of the linear layer. */
  readonly outputs: number;
  /** Sequences and tokens of each, query heads, key heads and their width. */
  readonly attention: {
    readonly batch: number;
    readonly length: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly headDim: number;
  };
  /** Tokens and rows of the language-model head. */
  readonly head: { readonly tokens: number; readonly vocabulary: number };
  /** Values of the optimizer. */
  readonly parameters: number;
}

/**
 * The up projection of the quickstart's model in a batch of 4 x 128 tokens, and a slice of LLaMA-7B
 * that a software renderer finishes too: 64 tokens, a quarter of a 4096 x 4096 projection, a quarter
 * of the heads, an eighth of the vocabulary.
 */
export const SIZES: readonly BenchmarkSize[] = [
  {
    tokens: 512,
    inputs: 128,
    outputs: 384,
    attention: { batch: 4, length: 128, heads: 4, kvHeads: 2, headDim: 32 },
    head: { tokens: 512, vocabulary: 1024 },
    parameters: 2 ** 16,
  },
  {
    tokens: 64,
    inputs: 4096,
    outputs: 1024,
    attention: { batch: 1, length: 256, heads: 8, kvHeads: 8, headDim: 128 },
    head: { tokens: 32, vocabulary: 4000 },
    parameters: 2 ** 22,
  },
];

/** Rank of the adapters. */
export const RANK = 16;
