/**
 * Benchmarks of matrix products: linear layers in every weight format, plain products, adapters.
 *
 * @module
 */

import type { KernelBenchmark } from "./benchmark.ts";
import { type BenchmarkSize, LAYERS, type LinearSize, RANK, ROWS } from "./shapes.ts";
import { bytesOf, WEIGHT_FORMATS, weightBytes, type WeightFormat } from "./workspace.ts";

/** Products of one size. */
export function productBenchmarks(size: BenchmarkSize): KernelBenchmark[] {
  return [
    ...WEIGHT_FORMATS.flatMap((format) => [linear(size, format), transposed(size, format)]),
    ...(["nn", "nt", "tn"] as const).map((orientation) => matmul(size, orientation)),
    lowRank(size),
    lowRankBackward(size),
  ];
}

/**
 * Linear layers in every format, forward and transposed, over numbers of rows; first the shape by
 * which software renderers are judged (docs/benchmarks.md).
 */
export function layerSweep(): KernelBenchmark[] {
  const software = { tokens: 64, inputs: 512, outputs: 1024 };
  const sweep = LAYERS.flatMap(({ inputs, outputs, usual }) =>
    ROWS.flatMap((tokens) =>
      WEIGHT_FORMATS.flatMap((format) => {
        const size = { tokens, inputs, outputs };
        const large = !(usual.rows.includes(tokens) && usual.formats.includes(format));
        return [linear(size, format, large), transposed(size, format, true)];
      })
    )
  );
  return [linear(software, "dense"), linear(software, "int4"), ...sweep];
}

/** A linear layer's product. */
export function linear(
  { tokens: M, inputs: K, outputs: N }: LinearSize,
  format: WeightFormat,
  large = false,
): KernelBenchmark {
  return {
    large,
    name: `linear ${format}`,
    shape: `${M}x${K} -> ${N}`,
    work: {
      flops: 2 * M * K * N,
      bytes: bytesOf([M, K], [M, N]) + weightBytes(format, N, K),
    },
    arrange(workspace) {
      const input = workspace.floats([M, K], "input");
      const weight = workspace.weight(format, N, K);
      const output = workspace.zeros([M, N], "output");
      return (operations) => operations.linear({ input, weight, output });
    },
  };
}

function transposed(
  { tokens: M, inputs: K, outputs: N }: LinearSize,
  format: WeightFormat,
  large = false,
): KernelBenchmark {
  return {
    large,
    name: `linearTransposed ${format}`,
    shape: `${M}x${N} -> ${K}`,
    work: {
      flops: 2 * M * K * N,
      bytes: bytesOf([M, K], [M, N]) + weightBytes(format, N, K),
    },
    arrange(workspace) {
      const gradOutput = workspace.floats([M, N], "gradOutput");
      const weight = workspace.weight(format, N, K);
      const gradInput = workspace.zeros([M, K], "gradInput");
      return (operations) => operations.linearTransposed({ gradOutput, weight, gradInput });
    },
  };
}

function matmul(
  { tokens: M, inputs: K, outputs: N }: BenchmarkSize,
  orientation: "nn" | "nt" | "tn",
): KernelBenchmark {
  return {
    name: `matmul ${orientation}`,
    shape: `${M}x${K}x${N}`,
    work: { flops: 2 * M * K * N, bytes: bytesOf([M, K], [K, N], [M, N]) },
    arrange(workspace) {
      const left = workspace.floats(orientation === "tn" ? [K, M] : [M, K], "left");
      const right = workspace.floats(orientation === "nt" ? [N, K] : [K, N], "right");
      const output = workspace.zeros([M, N], "output");
      return (operations) => operations.matmul({ left, right, output, orientation });
    },
  };
}

/** `output` is read and written. */
function lowRank({ tokens: M, inputs: K, outputs: N }: BenchmarkSize): KernelBenchmark {
  return {
    name: "lowRank",
    shape: `${M}x${K} -> ${RANK} -> ${N}`,
    work: {
      flops: 2 * M * RANK * (K + N),
      bytes: bytesOf([M, K], [RANK, K], [N, RANK], [M, RANK], [M, N], [M, N]),
    },
    arrange(workspace) {
      const operands = {
        input: workspace.floats([M, K], "input"),
        a: workspace.floats([RANK, K], "a", { deviation: 0.02 }),
        b: workspace.floats([N, RANK], "b", { deviation: 0.02 }),
        hidden: workspace.zeros([M, RANK], "hidden"),
        output: workspace.zeros([M, N], "output"),
      };
      return (operations) => operations.lowRank({ ...operands, pool: 1, repeat: 1, scale: 1 });
    },
  };
}

/** Four products: the gradients of hidden, B, A and the input; the last three are added to. */
function lowRankBackward({ tokens: M, inputs: K, outputs: N }: BenchmarkSize): KernelBenchmark {
  const added = bytesOf([RANK, K], [N, RANK], [M, K]);
  return {
    name: "lowRankBackward",
    shape: `${M}x${K} -> ${RANK} -> ${N}`,
    work: {
      flops: 4 * M * RANK * (K + N),
      bytes: bytesOf([M, K], [RANK, K], [N, RANK], [M, RANK], [M, N]) + 2 * added,
    },
    arrange(workspace) {
      const operands = {
        input: workspace.floats([M, K], "input"),
        a: workspace.floats([RANK, K], "a", { deviation: 0.02 }),
        b: workspace.floats([N, RANK], "b", { deviation: 0.02 }),
        hidden: workspace.floats([M, RANK], "hidden"),
        gradOutput: workspace.floats([M, N], "gradOutput", { deviation: 0.01 }),
        gradA: workspace.zeros([RANK, K], "gradA"),
        gradB: workspace.zeros([N, RANK], "gradB"),
        gradInput: workspace.zeros([M, K], "gradInput"),
      };
      return (operations) =>
        operations.lowRankBackward({ ...operands, pool: 1, repeat: 1, scale: 1 });
    },
  };
}
