/**
 * Sizes at which kernels are timed.
 *
 * @module
 */

import type { WeightFormat } from "./workspace.ts";

/** Sizes of a linear layer's product. */
export interface LinearSize {
  /** Rows: batch times length. */
  readonly tokens: number;
  readonly inputs: number;
  readonly outputs: number;
}

/** Sizes of one model, or of a part of one layer. */
export interface BenchmarkSize extends LinearSize {
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

/** A linear layer to sweep over {@linkcode ROWS}, and what of the sweep every run has. */
export interface LayerSweep {
  readonly inputs: number;
  readonly outputs: number;
  readonly usual: { readonly rows: readonly number[]; readonly formats: readonly WeightFormat[] };
}

/** Rows of a sweep: a token, some prompts, batches of training. */
export const ROWS: readonly number[] = [1, 16, 128, 512, 2048];

/** Layers of models of 15M and 110M parameters, then those of LLaMA-7B. */
export const LAYERS: readonly LayerSweep[] = [
  { inputs: 288, outputs: 768, usual: { rows: [], formats: [] } },
  { inputs: 768, outputs: 768, usual: { rows: [1, 16, 128, 512], formats: ["dense", "int4"] } },
  { inputs: 768, outputs: 2048, usual: { rows: [], formats: [] } },
  { inputs: 4096, outputs: 4096, usual: { rows: [1, 16], formats: ["int4"] } },
  { inputs: 4096, outputs: 11008, usual: { rows: [], formats: [] } },
  { inputs: 11008, outputs: 4096, usual: { rows: [], formats: [] } },
];

/** Rank of the adapters. */
export const RANK = 16;
