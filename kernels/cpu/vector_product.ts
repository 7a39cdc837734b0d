/**
 * Products of one row with a weight, as generation computes them: every weight is decoded once and
 * used once, so it goes from its code to the sum in registers, without panels. A few rows with a
 * dense weight share every load of it.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { CHUNK } from "../packing.ts";
import { CODEBOOK, decodeCodebookChunk } from "./codebook_panels.ts";
import { codesOfChunk } from "./decode.ts";
import { INTEGER } from "./integer_panels.ts";
import { at, kernel, type KernelBuilder, laneSum, type LocalsOf } from "./kernel.ts";
import { decodeNf4Chunk, NF4 } from "./nf4_panels.ts";
import { type Expression, f32, f32x4, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Rows of the weight of one task. */
const TASK_ROWS = 32;

/** Sums per row: a multiply-add takes four cycles, and two start in each. */
const CHAINS = 4;

const VECTOR = {
  input: "tensor",
  output: "tensor",
  bias: "tensor",
  depth: "i32",
  keep: "i32",
} as const;

/** Runs `dot` for every row and stores `dot + bias + (output AND keep)`. */
function forEachRow(
  f: KernelBuilder,
  p: LocalsOf<typeof VECTOR>,
  rows: Local<"i32">,
  dot: (row: Local<"i32">) => Expression<"f32">,
): void {
  f.tasks(i32.divU(i32.add(rows, TASK_ROWS - 1), TASK_ROWS), (task) => {
    const from = f.let(i32.mul(task, TASK_ROWS));
    const to = f.let(i32.minU(i32.add(from, TASK_ROWS), rows));
    f.for(from, to, 1, (row) => {
      const sum = f.let(dot(row));
      f.if(i64.ltU(i64.const(0), p.bias), () => {
        f.set(sum, f32.add(sum, f32.load(at(p.bias, row))));
      });
      f.if(p.keep, () => f.set(sum, f32.add(sum, f32.load(at(p.output, row)))));
      f.do(f32.store(at(p.output, row), sum));
    });
  });
}

function chains(f: KernelBuilder): Local<"v128">[] {
  return Array.from({ length: CHAINS }, () => f.let(v128.constWords([0, 0, 0, 0])));
}

function total(f: KernelBuilder, sums: readonly Local<"v128">[]): Expression<"f32"> {
  const [a, b, c, d] = sums as [Local<"v128">, Local<"v128">, Local<"v128">, Local<"v128">];
  return laneSum(f, f32x4.add(f32x4.add(a, b), f32x4.add(c, d)));
}

/** One row of `input` with an integer weight whose blocks are whole chunks. */
function integerKernel(bits: IntegerBits) {
  return kernel(`vector_int${bits}`, { ...VECTOR, ...INTEGER }, (f, p) => {
    forEachRow(f, p, p.weightRows, (row) => {
      const sums = chains(f);
      const words = f.let(
        i64.add(p.codes, i64.mul(i64.mul(i64.extendU(row), i64.extendU(p.rowWords)), 4)),
      );
      const block = f.let(i32.mul(i32.divU(row, p.blockRows), p.rowBlocks));
      const input = f.let<"i64">(p.input);
      f.for(0, p.depth, p.blockColumns, (first) => {
        const scale = f.let(v128.load32Splat(at(p.scales, block)));
        const zero = f.let(v128.load32Splat(at(p.zeros, block)));
        const ofBlock = chains(f);
        f.for(first, f.let(i32.add(first, p.blockColumns)), CHUNK, () => {
          codesOfChunk(f, bits, words).forEach((codes, index) => {
            const sum = ofBlock[index % CHAINS] as Local<"v128">;
            const level = f32x4.sub(f32x4.convertI32x4S(codes), zero);
            f.set(sum, f32x4.relaxedMadd(level, v128.load(input, 16 * index), sum));
          });
          f.set(words, i64.add(words, 4 * bits));
          f.set(input, i64.add(input, 4 * CHUNK));
        });
        sums.forEach((sum, index) => {
          f.set(sum, f32x4.relaxedMadd(ofBlock[index] as Local<"v128">, scale, sum));
        });
        f.set(block, i32.add(block, 1));
      });
      return total(f, sums);
    });
  });
}

/** Kernels for integer weights by width. */
export const integerVectorKernels = {
  1: integerKernel(1),
  2: integerKernel(2),
  3: integerKernel(3),
  4: integerKernel(4),
  8: integerKernel(8),
} as const;

/** `decode(column, multiply)` gives the weights of one row from `column` on, a chunk, to `multiply`. */
function dotByChunks(
  f: KernelBuilder,
  p: LocalsOf<typeof VECTOR>,
  decode: (
    column: Local<"i32">,
    multiply: (weights: Expression<"v128">, lane: number) => void,
  ) => void,
): Expression<"f32"> {
  const sums = chains(f);
  f.for(0, p.depth, CHUNK, (column) => {
    const input = f.let(at(p.input, column));
    decode(column, (weights, lane) => {
      const sum = sums[(lane / 4) % CHAINS] as Local<"v128">;
      f.set(sum, f32x4.relaxedMadd(weights, v128.load(input, 4 * lane), sum));
    });
  });
  return total(f, sums);
}

/** One row of `input` with an NF4 weight. */
export const nf4VectorKernel = kernel("vector_nf4", { ...VECTOR, ...NF4 }, (f, p) => {
  forEachRow(
    f,
    p,
    p.weightRows,
    (row) => dotByChunks(f, p, (column, multiply) => decodeNf4Chunk(f, p, row, column, multiply)),
  );
});

/** One row of `input` with a codebook weight. */
export const codebookVectorKernel = kernel(
  "vector_codebook",
  { ...VECTOR, ...CODEBOOK },
  (f, p) => {
    forEachRow(
      f,
      p,
      p.weightRows,
      (row) =>
        dotByChunks(f, p, (column, multiply) => decodeCodebookChunk(f, p, row, column, multiply)),
    );
  },
);

/** One row of `input` with a dense weight. */
export const denseVectorKernel = kernel(
  "vector_dense",
  { ...VECTOR, weight: "tensor", weightRows: "i32" },
  (f, p) => {
    forEachRow(f, p, p.weightRows, (row) => {
      const sums = chains(f);
      const start = i64.mul(i64.mul(i64.extendU(row), i64.extendU(p.depth)), 4);
      const weight = f.let(i64.add(p.weight, start));
      const whole = f.let(i32.and(p.depth, -4 * CHAINS));
      f.for(0, whole, 4 * CHAINS, (k) => {
        const input = f.let(at(p.input, k));
        const weights = f.let(at(weight, k));
        sums.forEach((sum, index) => {
          const product = [v128.load(weights, 16 * index), v128.load(input, 16 * index)] as const;
          f.set(sum, f32x4.relaxedMadd(...product, sum));
        });
      });
      const rest = f.let(f32.const(0));
      f.for(whole, p.depth, 1, (k) => {
        f.set(rest, f32.add(rest, f32.mul(f32.load(at(weight, k)), f32.load(at(p.input, k)))));
      });
      return f32.add(total(f, sums), rest);
    });
  },
);

/** Rows from which on packing a dense weight into panels pays. */
export const MOST_ROWS = 8;

/** A few rows of `input` with a dense weight, {@linkcode CHAINS} at a time. */
export const denseRowsKernel = kernel(
  "few_rows_dense",
  { ...VECTOR, weight: "tensor", weightRows: "i32", rows: "i32" },
  (f, p) => {
    const { depth, rows } = p;
    const stride = f.let(at(i64.const(0), depth));
    const last = f.let(i32.sub(rows, 1));
    const whole = f.let(i32.and(depth, -4));
    f.tasks(i32.divU(i32.add(p.weightRows, TASK_ROWS - 1), TASK_ROWS), (task) => {
      const from = f.let(i32.mul(task, TASK_ROWS));
      const to = f.let(i32.minU(i32.add(from, TASK_ROWS), p.weightRows));
      f.for(from, to, 1, (column) => {
        const weight = f.let(i64.add(p.weight, i64.mul(i64.extendU(column), stride)));
        f.for(0, rows, CHAINS, (first) => {
          const sums = chains(f).map((sum, index) => {
            const row = f.let(i32.add(first, index));
            const input = i64.mul(i64.extendU(i32.minU(row, last)), stride);
            return { sum, row, input: f.let(i64.add(p.input, input)) };
          });
          f.for(0, whole, 4, (k) => {
            const weights = f.let(v128.load(at(weight, k)));
            for (const { sum, input } of sums) {
              f.set(sum, f32x4.relaxedMadd(weights, v128.load(at(input, k)), sum));
            }
          });
          for (const { sum, row, input } of sums) {
            f.if(i32.ltU(row, rows), () => {
              const value = f.let(laneSum(f, sum));
              f.for(whole, depth, 1, (k) => {
                const product = f32.mul(f32.load(at(weight, k)), f32.load(at(input, k)));
                f.set(value, f32.add(value, product));
              });
              f.if(i64.ltU(i64.const(0), p.bias), () => {
                f.set(value, f32.add(value, f32.load(at(p.bias, column))));
              });
              const start = i64.mul(i64.extendU(row), i64.extendU(p.weightRows));
              const output = f.let(at(i64.add(p.output, i64.mul(start, 4)), column));
              f.if(p.keep, () => f.set(value, f32.add(value, f32.load(output))));
              f.do(f32.store(output, value));
            });
          }
        });
      });
    });
  },
);

/** Kernels of this file. */
export const vectorKernels = [
  ...Object.values(integerVectorKernels),
  nf4VectorKernel,
  codebookVectorKernel,
  denseVectorKernel,
  denseRowsKernel,
];
