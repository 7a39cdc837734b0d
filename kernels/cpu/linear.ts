/**
 * Linear layers over dense and packed weights, forward and transposed, and plain products of
 * matrices.
 *
 * @module
 */

import type {
  CodebookWeight,
  IntegerBits,
  IntegerWeight,
  Nf4Weight,
  Tensor,
  Weight,
} from "../device.ts";
import { CHUNK, codeWords } from "../packing.ts";
import {
  type Arguments,
  checkLinear,
  checkLinearTransposed,
  checkMatmul,
  type LinearDimensions,
} from "../shapes.ts";
import { CODEBOOK, packCodebookColumns, packCodebookRows } from "./codebook_panels.ts";
import { packColumns, packRows } from "./dense_panels.ts";
import { INTEGER, packIntegerColumns, packIntegerRows } from "./integer_panels.ts";
import type { Kernel, Parameters } from "./kernel.ts";
import { NF4, packNf4Columns, packNf4Rows } from "./nf4_panels.ts";
import { plainAbsmax } from "./absmax.ts";
import type { Common } from "./multiply.ts";
import { commonValues, product, type ProductArguments } from "./product.ts";
import type { Recorder, ValuesOf } from "./recorder.ts";
import {
  codebookVectorKernel,
  denseRowsKernel,
  denseVectorKernel,
  integerVectorKernels,
  MOST_ROWS,
  nf4VectorKernel,
} from "./vector_product.ts";

/** A dense right factor: its address, elements a row, rows. */
const DENSE = { right: "tensor", rightStride: "i32", rightRows: "i32" } as const;

const denseRows = product("product_dense_rows", "rows", DENSE, (f, p, block) => {
  packRows(f, p.right, p.rightStride, block);
});
const denseColumns = product("product_dense_columns", "rows", DENSE, (f, p, block) => {
  packColumns(f, p.right, p.rightStride, p.rightRows, block);
});
const transposedLeft = product("product_transposed_left", "columns", DENSE, (f, p, block) => {
  packRows(f, p.right, p.rightStride, block);
});

type IntegerProduct = Kernel<Common & typeof INTEGER>;

function integerProducts(
  direction: "forward" | "transposed",
  pack: typeof packIntegerColumns,
): Readonly<Record<IntegerBits, IntegerProduct>> {
  const ofBits = (bits: IntegerBits) =>
    product(`product_int${bits}_${direction}`, "rows", INTEGER, (f, p, block) => {
      pack(f, bits, p, block);
    });
  return { 1: ofBits(1), 2: ofBits(2), 3: ofBits(3), 4: ofBits(4), 8: ofBits(8) };
}

const integerForward = integerProducts("forward", packIntegerColumns);
const integerTransposed = integerProducts("transposed", packIntegerRows);
const nf4Forward = product("product_nf4_forward", "rows", NF4, packNf4Columns);
const nf4Transposed = product("product_nf4_transposed", "rows", NF4, packNf4Rows);
const codebookForward = product("codebook_forward", "rows", CODEBOOK, packCodebookColumns);
const codebookTransposed = product("codebook_transposed", "rows", CODEBOOK, packCodebookRows);

/** Kernels of this file. */
export const linearKernels: readonly Kernel<Parameters>[] = [
  denseRows,
  denseColumns,
  transposedLeft,
  ...Object.values(integerForward),
  ...Object.values(integerTransposed),
  nf4Forward,
  nf4Transposed,
  codebookForward,
  codebookTransposed,
];

/** Records {@linkcode Operations.linear}. */
export function linear(recorder: Recorder, args: Arguments<"linear">): void {
  const { M, K, N }: LinearDimensions = checkLinear(args);
  const { input, weight, bias, output, accumulate } = args;
  multiplyWeight(recorder, weight, "forward", {
    ...{ left: input, output, bias, accumulate },
    ...{ rows: M, columns: N, depth: K, leftStride: K },
  });
}

/** Records {@linkcode Operations.linearTransposed}. */
export function linearTransposed(recorder: Recorder, args: Arguments<"linearTransposed">): void {
  const { M, K, N }: LinearDimensions = checkLinearTransposed(args);
  const { gradOutput, weight, gradInput, accumulate } = args;
  multiplyWeight(recorder, weight, "transposed", {
    ...{ left: gradOutput, output: gradInput, accumulate },
    ...{ rows: M, columns: K, depth: N, leftStride: N },
  });
}

function multiplyWeight(
  recorder: Recorder,
  weight: Weight,
  direction: "forward" | "transposed",
  args: ProductArguments,
): void {
  if (direction === "forward" && multiplyRows(recorder, weight, args)) return;
  const common = commonValues(recorder, args);
  if (weight.format === "dense") {
    const kernel = direction === "forward" ? denseColumns : denseRows;
    recorder.call(kernel, { ...common, ...denseValues(weight.values, weight.columns) });
  } else if (weight.format === "integer") {
    const kernels = direction === "forward" ? integerForward : integerTransposed;
    recorder.call(kernels[weight.bits], { ...common, ...integerValues(weight) });
  } else if (weight.format === "nf4") {
    const kernel = direction === "forward" ? nf4Forward : nf4Transposed;
    recorder.call(kernel, { ...common, ...nf4Values(recorder, weight) });
  } else {
    const kernel = direction === "forward" ? codebookForward : codebookTransposed;
    recorder.call(kernel, { ...common, ...codebookValues(weight) });
  }
}

/** Records the product of a single row, or a few; tells whether there is a kernel for them. */
function multiplyRows(recorder: Recorder, weight: Weight, args: ProductArguments): boolean {
  if (recorder.independentRows) return false;
  const { left: input, output, bias = null, depth, rows } = args;
  const common = { input, output, bias, depth, keep: args.accumulate ? 1 : 0 };
  if (rows > 1) {
    if (weight.format !== "dense" || rows > MOST_ROWS) return false;
    const { values, rows: weightRows } = weight;
    recorder.call(denseRowsKernel, { ...common, weight: values, weightRows, rows });
  } else if (weight.format === "dense") {
    const { values, rows: weightRows } = weight;
    recorder.call(denseVectorKernel, { ...common, weight: values, weightRows });
  } else if (weight.format === "nf4") {
    recorder.call(nf4VectorKernel, { ...common, ...nf4Values(recorder, weight) });
  } else if (weight.format === "codebook") {
    recorder.call(codebookVectorKernel, { ...common, ...codebookValues(weight) });
  } else {
    if (weight.blockColumns % CHUNK !== 0) return false;
    recorder.call(integerVectorKernels[weight.bits], { ...common, ...integerValues(weight) });
  }
  return true;
}

/** Records {@linkcode Operations.matmul}. */
export function matmul(recorder: Recorder, args: Arguments<"matmul">): void {
  const { M, K, N }: LinearDimensions = checkMatmul(args);
  const { left, right, output, orientation, scale, accumulate } = args;
  const kernel = { nn: denseRows, nt: denseColumns, tn: transposedLeft }[orientation];
  recorder.call(kernel, {
    ...commonValues(recorder, {
      ...{ left, output, scale, accumulate, rows: M, columns: N, depth: K },
      leftStride: orientation === "tn" ? M : K,
    }),
    ...denseValues(right, orientation === "nt" ? K : N),
  });
}

function denseValues(right: Tensor, stride: number): ValuesOf<typeof DENSE> {
  return { right, rightStride: stride, rightRows: right.size / stride };
}

/** Values of the parameters of an integer weight. */
export function integerValues(weight: IntegerWeight): ValuesOf<typeof INTEGER> {
  const { rows, columns, bits, blockRows, blockColumns, codes, scales, zeros } = weight;
  return {
    ...{ codes, scales, zeros, blockRows, blockColumns },
    weightRows: rows,
    rowWords: codeWords(bits, columns),
    rowBlocks: columns / blockColumns,
  };
}

/** Values of the parameters of an NF4 weight; its absmax is made plain first. */
export function nf4Values(recorder: Recorder, weight: Nf4Weight): ValuesOf<typeof NF4> {
  const { rows, columns, codes, absmax } = weight;
  return {
    codes,
    absmax: plainAbsmax(recorder, absmax, rows * columns),
    weightRows: rows,
    rowWords: codeWords(4, columns),
  };
}

/** Values of the parameters of a codebook weight. */
export function codebookValues(weight: CodebookWeight): ValuesOf<typeof CODEBOOK> {
  const { rows, columns, blockColumns, codes, levels } = weight;
  return {
    codes,
    levels,
    weightRows: rows,
    rowWords: codeWords(3, columns),
    blockColumns,
    rowBlocks: columns / blockColumns,
  };
}
