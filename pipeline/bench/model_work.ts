/**
 * What a pass over a model costs, counted from its mathematics.
 *
 * @module
 */

import type { Work } from "../../kernels/bench/benchmark.ts";
import { modelLinears } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";

/** Rows of a batch and tokens of a row. */
export interface BatchSize {
  readonly batchSize: number;
  readonly length: number;
}

/** Products of one token with matrices, and of all queries with keys and values, a multiply-add as two. */
function forwardFlops(config: ModelConfig, { batchSize, length }: BatchSize) {
  const tokens = batchSize * length;
  const linears = modelLinears(config);
  const weights = (chosen: typeof linears) =>
    2 * tokens * chosen.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const firstInputs = linears.filter(({ layer, name }) =>
    layer === 0 && ["q_proj", "k_proj", "v_proj"].includes(name)
  );
  return {
    tokens,
    linears: weights(linears),
    /** Layers whose input is the embedding, which has no gradient unless it trains. */
    firstInputs: weights(firstInputs),
    adapters: (rank: number) =>
      2 * tokens * rank * linears.reduce((sum, { rows, columns }) => sum + rows + columns, 0),
    head: 2 * tokens * config.vocabSize * config.hiddenSize,
    // Two products per pair of a query and a key that it sees.
    attention: 4 * batchSize * config.layers * config.heads * config.headDim *
      length * (length + 1) / 2,
  };
}

/** The losses of a batch. */
export function evaluationWork(config: ModelConfig, batch: BatchSize): Work {
  const { tokens, linears, head, attention } = forwardFlops(config, batch);
  return { tokens, flops: linears + head + attention };
}

/** An optimizer step on adapters: no gradient of any weight, none of the embedding. */
export function loraWork(config: ModelConfig, batch: BatchSize, rank: number): Work {
  const { tokens, linears, firstInputs, adapters, head, attention } = forwardFlops(config, batch);
  return {
    tokens,
    flops: 2 * linears - firstInputs + 2 * head + 3.5 * attention + 3 * adapters(rank),
  };
}

/** An optimizer step on all weights. Attention's backward pass computes its scores again. */
export function fullWork(config: ModelConfig, batch: BatchSize): Work {
  const { tokens, linears, head, attention } = forwardFlops(config, batch);
  return { tokens, flops: 3 * linears + 3 * head + 3.5 * attention };
}

/** A prompt into a cache, and the logits after its last token. */
export function promptWork(config: ModelConfig, length: number): Work {
  const { tokens, linears, head, attention } = forwardFlops(config, { batchSize: 1, length });
  return { tokens, flops: linears + head / length + attention };
}

/**
 * Tokens one by one, from an empty cache on. Every step reads all weights, and the cached keys and
 * values of each sequence.
 */
export function generationWork(
  config: ModelConfig,
  batch: BatchSize,
  bytesPerWeight: number,
): Work {
  const { tokens, linears, head, attention } = forwardFlops(config, batch);
  const { batchSize, length } = batch;
  const { layers, kvHeads, headDim, vocabSize, hiddenSize } = config;
  const weights = bytesPerWeight *
    modelLinears(config).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const cached = 2 * layers * kvHeads * headDim * batchSize * length * (length + 1) / 2;
  return {
    tokens,
    flops: linears + head + attention,
    bytes: length * (weights + 4 * vocabSize * hiddenSize) + 4 * cached,
  };
}
