/**
 * Weights in f32: for tests and for merging into 16-bit weights.
 *
 * @module
 */

import type { IntegerBits } from "../device.ts";
import { CHUNK } from "../packing.ts";
import type { Arguments } from "../shapes.ts";
import { CODEBOOK, decodeCodebookChunk } from "./codebook_panels.ts";
import { copyKernel } from "./elementwise.ts";
import { decodeChunk, INTEGER } from "./integer_panels.ts";
import { at, type Kernel, kernel, type KernelBuilder, type Parameters } from "./kernel.ts";
import { codebookValues, integerValues, nf4Values } from "./linear.ts";
import { decodeNf4Chunk, NF4 } from "./nf4_panels.ts";
import type { Recorder } from "./recorder.ts";
import { type Expression, f32, i32, i64, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

type Store = (weights: Expression<"v128">, lane: number) => void;

/** Decodes chunk by chunk; the last one of a row may be cut off. */
function decodeRows(
  f: KernelBuilder,
  output: Local<"i64">,
  rows: Local<"i32">,
  columns: Local<"i32">,
  decode: (row: Local<"i32">, column: Local<"i32">, store: Store) => void,
): void {
  f.tasks(rows, (row) => {
    const target = i64.mul(i64.mul(i64.extendU(row), i64.extendU(columns)), 4);
    const start = f.let(i64.add(output, target));
    const whole = f.let(i32.and(columns, -CHUNK));
    f.for(0, whole, CHUNK, (column) => {
      const to = f.let(at(start, column));
      decode(row, column, (weights, lane) => f.do(v128.store(to, weights, 4 * lane)));
    });
    f.if(i32.ltU(whole, columns), () => {
      decode(row, whole, (weights, lane) => f.do(v128.store(f.scratch, weights, 4 * lane)));
      f.for(whole, columns, 1, (column) => {
        const value = f32.load(at(f.scratch, i32.sub(column, whole)));
        f.do(f32.store(at(start, column), value));
      });
    });
  });
}

const SHAPE = { output: "tensor", columns: "i32" } as const;

function dequantizeInteger(bits: IntegerBits) {
  return kernel(`dequantize_int${bits}`, { ...INTEGER, ...SHAPE }, (f, p) => {
    decodeRows(f, p.output, p.weightRows, p.columns, (row, column, store) => {
      decodeChunk(f, bits, p, row, column, store);
    });
  });
}

const integerKernels = {
  1: dequantizeInteger(1),
  2: dequantizeInteger(2),
  3: dequantizeInteger(3),
  4: dequantizeInteger(4),
  8: dequantizeInteger(8),
};

const nf4Kernel = kernel("dequantize_nf4", { ...NF4, ...SHAPE }, (f, p) => {
  decodeRows(f, p.output, p.weightRows, p.columns, (row, column, store) => {
    decodeNf4Chunk(f, p, row, column, store);
  });
});

const codebookKernel = kernel("dequantize_codebook", { ...CODEBOOK, ...SHAPE }, (f, p) => {
  decodeRows(f, p.output, p.weightRows, p.columns, (row, column, store) => {
    decodeCodebookChunk(f, p, row, column, store);
  });
});

/** Kernels of this file. */
export const dequantizeKernels: readonly Kernel<Parameters>[] = [
  ...Object.values(integerKernels),
  nf4Kernel,
  codebookKernel,
];

/** Records {@linkcode Operations.dequantize}. */
export function dequantize(recorder: Recorder, { weight, output }: Arguments<"dequantize">): void {
  const { columns } = weight;
  if (weight.format === "dense") {
    recorder.call(copyKernel, { input: weight.values, output, size: output.size });
  } else if (weight.format === "integer") {
    recorder.call(integerKernels[weight.bits], { ...integerValues(weight), output, columns });
  } else if (weight.format === "nf4") {
    recorder.call(nf4Kernel, { ...nf4Values(recorder, weight), output, columns });
  } else {
    recorder.call(codebookKernel, { ...codebookValues(weight), output, columns });
  }
}
