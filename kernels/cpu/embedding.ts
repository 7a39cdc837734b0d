/**
 * Token embedding and its gradient.
 *
 * @module
 */

import { type Arguments, checkEmbedding, checkEmbeddingBackward } from "../shapes.ts";
import { at, kernel } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, perRow } from "./vectors.ts";
import { f32x4, i32 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** `output[t] = table[tokens[t]]`; tokens beyond the table give NaN. */
const embeddingKernel = kernel(
  "embedding",
  {
    tokens: "tensor",
    table: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    vocabulary: "i32",
  },
  (f, p) => {
    perRow(f, p.rows, p.columns, (row) => {
      const token = f.let(i32.load(at(p.tokens, row)));
      const output = f.let(at(p.output, i32.mul(row, p.columns)));
      f.if(i32.ltU(token, p.vocabulary), () => {
        const entry = f.let(at(p.table, i32.mul(token, p.columns)));
        overVectors(f, 0, p.columns, 2, ({ load, store }) => store(output, load(entry)));
      }, () => {
        overVectors(f, 0, p.columns, 2, ({ vectors, store }) => {
          store(output, Array.from({ length: vectors }, () => f32x4.splat(NaN)));
        });
      });
    });
  },
);

/** `dTable[v] += sum of dy[order[i]], offsets[v] <= i < offsets[v + 1]`. */
const embeddingBackwardKernel = kernel(
  "embeddingBackward",
  {
    gradOutput: "tensor",
    order: "tensor",
    offsets: "tensor",
    gradTable: "tensor",
    vocabulary: "i32",
    columns: "i32",
  },
  (f, p) => {
    perRow(f, p.vocabulary, p.columns, (token) => {
      const offset = f.let(at(p.offsets, token));
      const gradient = f.let(at(p.gradTable, i32.mul(token, p.columns)));
      f.for(f.let(i32.load(offset)), f.let(i32.load(offset, 4)), 1, (i) => {
        const position = i32.load(at(p.order, i));
        const row = f.let(at(p.gradOutput, i32.mul(position, p.columns)));
        overVectors(f, 0, p.columns, 2, ({ load, store }) => {
          const dy = load(row);
          const sums = load(gradient);
          store(gradient, sums.map((sum, j) => f32x4.add(sum, dy[j] as Local<"v128">)));
        });
      });
    });
  },
);

/** Kernels of this file. */
export const embeddingKernels = [embeddingKernel, embeddingBackwardKernel];

/** Records {@linkcode Operations.embedding}. */
export function embedding(recorder: Recorder, args: Arguments<"embedding">): void {
  const { T: rows, D: columns, V: vocabulary } = checkEmbedding(args);
  const { tokens, table, output } = args;
  recorder.call(embeddingKernel, { tokens, table, output, rows, columns, vocabulary });
}

/** Records {@linkcode Operations.embeddingBackward}. */
export function embeddingBackward(
  recorder: Recorder,
  args: Arguments<"embeddingBackward">,
): void {
  const { D: columns, V: vocabulary } = checkEmbeddingBackward(args);
  const { gradOutput, order, offsets, gradTable } = args;
  recorder.call(embeddingBackwardKernel, {
    gradOutput,
    order,
    offsets,
    gradTable,
    vocabulary,
    columns,
  });
}
