/**
 * Benchmarks of what stands between the matrix products: attention, normalization, loss, optimizer.
 *
 * @module
 */

import type { KernelBenchmark } from "./benchmark.ts";
import type { BenchmarkSize } from "./shapes.ts";
import { bytesOf, type Workspace } from "./workspace.ts";

/** Kernels of one size. */
export function layerBenchmarks(size: BenchmarkSize): KernelBenchmark[] {
  return [
    attention(size),
    attentionBackward(size),
    rmsNorm(size),
    rmsNormBackward(size),
    crossEntropy(size),
    crossEntropyBackward(size),
    adamw(size),
  ];
}

/** Shapes and the number of (query, key) pairs that causal attention looks at, all heads together. */
function attentionSize({ attention: sizes }: BenchmarkSize) {
  const { batch, length, heads, kvHeads, headDim } = sizes;
  const T = batch * length;
  return {
    text: `${batch}x${length}, ${heads}/${kvHeads} heads of ${headDim}`,
    pairs: batch * heads * length * (length + 1) / 2,
    queries: [T, heads * headDim],
    keys: [T, kvHeads * headDim],
    logSumExp: [T, heads],
    arguments: { ...sizes, scale: 1 / Math.sqrt(headDim) },
  };
}

function attentionOperands(workspace: Workspace, size: BenchmarkSize) {
  const { queries, keys, logSumExp } = attentionSize(size);
  return {
    queries: workspace.floats(queries, "queries"),
    keys: workspace.floats(keys, "keys"),
    values: workspace.floats(keys, "values"),
    output: workspace.zeros(queries, "output"),
    // Of normal scores over a hundred keys; probabilities recomputed from it stay finite.
    logSumExp: workspace.floats(logSumExp, "logSumExp", { mean: 5, deviation: 0.1 }),
  };
}

/** Two products per pair: scores, and the sum of values. */
function attention(size: BenchmarkSize): KernelBenchmark {
  const { text, pairs, queries, keys, logSumExp, arguments: shape } = attentionSize(size);
  return {
    name: "attention",
    shape: text,
    work: {
      flops: 4 * pairs * shape.headDim,
      bytes: bytesOf(queries, keys, keys, queries, logSumExp),
    },
    arrange(workspace) {
      const operands = attentionOperands(workspace, size);
      return (operations) => operations.attention({ ...operands, ...shape });
    },
  };
}

/** Five products per pair: scores again, and the gradients of scores, queries, keys and values. */
function attentionBackward(size: BenchmarkSize): KernelBenchmark {
  const { text, pairs, queries, keys, logSumExp, arguments: shape } = attentionSize(size);
  return {
    name: "attentionBackward",
    shape: text,
    work: {
      flops: 10 * pairs * shape.headDim,
      bytes: bytesOf(queries, keys, keys, queries, queries, logSumExp, queries, keys, keys),
    },
    arrange(workspace) {
      const operands = {
        ...attentionOperands(workspace, size),
        gradOutput: workspace.floats(queries, "gradOutput"),
        gradQueries: workspace.zeros(queries, "gradQueries"),
        gradKeys: workspace.zeros(keys, "gradKeys"),
        gradValues: workspace.zeros(keys, "gradValues"),
      };
      return (operations) => operations.attentionBackward({ ...operands, ...shape });
    },
  };
}

function rmsNorm({ tokens: M, inputs: D }: BenchmarkSize): KernelBenchmark {
  return {
    name: "rmsNorm",
    shape: `${M}x${D}`,
    work: { bytes: bytesOf([M, D], [D], [M, D]) },
    arrange(workspace) {
      const input = workspace.floats([M, D], "input");
      const weight = workspace.floats([D], "weight", { mean: 1, deviation: 0.1 });
      const output = workspace.zeros([M, D], "output");
      return (operations) => operations.rmsNorm({ input, weight, output, epsilon: 1e-5 });
    },
  };
}

/** With a frozen weight, as in training adapters. */
function rmsNormBackward({ tokens: M, inputs: D }: BenchmarkSize): KernelBenchmark {
  return {
    name: "rmsNormBackward",
    shape: `${M}x${D}`,
    work: { bytes: bytesOf([M, D], [D], [M, D], [M, D]) },
    arrange(workspace) {
      const operands = {
        input: workspace.floats([M, D], "input"),
        weight: workspace.floats([D], "weight", { mean: 1, deviation: 0.1 }),
        gradOutput: workspace.floats([M, D], "gradOutput"),
        gradInput: workspace.zeros([M, D], "gradInput"),
      };
      return (operations) =>
        operations.rmsNormBackward({ ...operands, gradWeight: null, epsilon: 1e-5 });
    },
  };
}

function lossOperands(workspace: Workspace, { inputs: D, head }: BenchmarkSize) {
  const { tokens: T, vocabulary: V } = head;
  return {
    hidden: workspace.floats([T, D], "hidden"),
    head: workspace.weight("dense", V, D),
    targets: workspace.words([T], "targets", V),
    weights: workspace.floats([T], "weights", { mean: 1 / T, deviation: 0 }),
    losses: workspace.zeros([T], "losses"),
  };
}

function crossEntropy(size: BenchmarkSize): KernelBenchmark {
  const { inputs: D, head: { tokens: T, vocabulary: V } } = size;
  return {
    name: "crossEntropy",
    shape: `${T}x${D} -> ${V}`,
    work: { flops: 2 * T * D * V, bytes: bytesOf([T, D], [V, D], [T]) },
    arrange(workspace) {
      const operands = lossOperands(workspace, size);
      return (operations) => operations.crossEntropy(operands);
    },
  };
}

/** Forward, and the gradient of the hidden states under a frozen head: two products. */
function crossEntropyBackward(size: BenchmarkSize): KernelBenchmark {
  const { inputs: D, head: { tokens: T, vocabulary: V } } = size;
  return {
    name: "crossEntropy with gradient",
    shape: `${T}x${D} -> ${V}`,
    work: { flops: 4 * T * D * V, bytes: bytesOf([T, D], [V, D], [T], [T, D]) },
    arrange(workspace) {
      const operands = lossOperands(workspace, size);
      const gradHidden = workspace.zeros([T, D], "gradHidden");
      return (operations) => operations.crossEntropy({ ...operands, gradHidden });
    },
  };
}

/** Reads four tensors and writes three. */
function adamw({ parameters: count }: BenchmarkSize): KernelBenchmark {
  return {
    name: "adamw",
    shape: `${count} values`,
    work: { bytes: 7 * bytesOf([count]) },
    arrange(workspace) {
      const operands = {
        parameters: workspace.floats([count], "parameters"),
        gradients: workspace.floats([count], "gradients"),
        moment1: workspace.zeros([count], "moment1"),
        moment2: workspace.zeros([count], "moment2"),
        hyper: workspace.floats([8], "hyper", { mean: 0.1, deviation: 0 }),
        norm: workspace.floats([2], "norm", { mean: 1, deviation: 0 }),
      };
      return (operations) => operations.adamw(operands);
    },
  };
}
