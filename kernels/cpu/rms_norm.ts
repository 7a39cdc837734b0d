/**
 * Root-mean-square normalization (Zhang & Sennrich 2019).
 *
 * @module
 */

import { type Arguments, checkRmsNorm, checkRmsNormBackward } from "../shapes.ts";
import { addPartials, overChunks, partialSums } from "./column_sum.ts";
import { at, kernel, laneSum } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, perRow, sumOf, zeros } from "./vectors.ts";
import { type Expression, f32, f32x4, i32, i32x4, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** `y = x / sqrt(mean(x^2) + epsilon) * w`. */
const rmsNormKernel = kernel(
  "rmsNorm",
  {
    input: "tensor",
    weight: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    epsilon: "f32",
  },
  (f, p) => {
    perRow(f, p.rows, p.columns, (row) => {
      const start = f.let(i32.mul(row, p.columns));
      const input = f.let(at(p.input, start));
      const output = f.let(at(p.output, start));
      const squares = zeros(f, 4);
      overVectors(f, 0, p.columns, 4, ({ load }) => {
        const x = load(input);
        addProducts(f, squares, x, x);
      });
      const inverse = f.let(inverseRms(f, squares, p.columns, p.epsilon));
      overVectors(f, 0, p.columns, 4, ({ load, store }) => {
        store(output, products(products(load(input), inverse), load(p.weight)));
      });
    });
  },
);

/**
 * With `r = 1 / sqrt(mean(x^2) + epsilon)` and `g = dy * w`: `dx = r g - r^3 x mean(g x)`, and the
 * sums of `dy x r` over chunks of rows, for `dw`.
 */
const rmsNormBackwardKernel = kernel(
  "rmsNormBackward",
  {
    input: "tensor",
    weight: "tensor",
    gradOutput: "tensor",
    gradInput: "tensor",
    partials: "tensor",
    rows: "i32",
    columns: "i32",
    chunkRows: "i32",
    epsilon: "f32",
    /** All ones to add to `gradInput`, 0 to overwrite it. */
    keep: "i32",
    /** Whether `partials` are wanted. */
    weighted: "i32",
  },
  (f, p) => {
    const keep = f.let(i32x4.splat(p.keep));
    overChunks(f, p, (first, end, partial) => {
      f.for(first, end, 1, (row) => {
        const start = f.let(i32.mul(row, p.columns));
        const input = f.let(at(p.input, start));
        const gradOutput = f.let(at(p.gradOutput, start));
        const gradInput = f.let(at(p.gradInput, start));
        const squares = zeros(f, 4);
        const projections = zeros(f, 4);
        overVectors(f, 0, p.columns, 4, ({ load }) => {
          const x = load(input);
          addProducts(f, squares, x, x);
          addProducts(f, projections, products(load(gradOutput), load(p.weight)), x);
        });
        const inverse = f.let(inverseRms(f, squares, p.columns, p.epsilon));
        const mean = f32.div(
          laneSum(f, sumOf(projections)),
          f32.convertI32U(p.columns),
        );
        const cube = f32x4.mul(inverse, f32x4.mul(inverse, inverse));
        const factor = f.let(f32x4.mul(cube, f32x4.splat(mean)));
        // Before gradInput is written: it may be the tensor of gradOutput.
        f.if(p.weighted, () => {
          overVectors(f, 0, p.columns, 2, ({ load, store }) => {
            const scaled = products(load(input), inverse);
            const dy = load(gradOutput);
            const sums = load(partial);
            store(
              partial,
              sums.map((sum, i) => f32x4.relaxedMadd(nth(scaled, i), nth(dy, i), sum)),
            );
          });
        });
        overVectors(f, 0, p.columns, 2, ({ load, store }) => {
          const g = products(products(load(gradOutput), load(p.weight)), inverse);
          const x = load(input);
          const before = load(gradInput);
          store(
            gradInput,
            before.map((value, i) =>
              f32x4.add(
                v128.and(value, keep),
                f32x4.relaxedNmadd(factor, nth(x, i), nth(g, i)),
              )
            ),
          );
        });
      });
    });
  },
);

/** `1 / sqrt(mean + epsilon)` in all lanes, of the sums of squares over `columns`. */
function inverseRms(
  f: FunctionBuilder,
  squares: readonly Local<"v128">[],
  columns: Local<"i32">,
  epsilon: Local<"f32">,
): Expression<"v128"> {
  const mean = f32.div(laneSum(f, sumOf(squares)), f32.convertI32U(columns));
  return f32x4.splat(f32.div(1, f32.sqrt(f32.add(mean, epsilon))));
}

/** `sums[i] += left[i] * right[i]`. */
function addProducts(
  f: FunctionBuilder,
  sums: readonly Local<"v128">[],
  left: readonly Expression<"v128">[],
  right: readonly Expression<"v128">[],
): void {
  left.forEach((value, i) => {
    f.set(nth(sums, i), f32x4.relaxedMadd(value, nth(right, i), nth(sums, i)));
  });
}

/** `left[i] * right[i]`, or `left[i] * right`. */
function products(
  left: readonly Expression<"v128">[],
  right: readonly Expression<"v128">[] | Local<"v128">,
): Expression<"v128">[] {
  return left.map((value, i) => f32x4.mul(value, Array.isArray(right) ? nth(right, i) : right));
}

function nth<T>(items: readonly T[], index: number): T {
  return items[index] as T;
}

/** Kernels of this file. */
export const rmsNormKernels = [rmsNormKernel, rmsNormBackwardKernel];

/** Records {@linkcode Operations.rmsNorm}. */
export function rmsNorm(recorder: Recorder, args: Arguments<"rmsNorm">): void {
  const { M: rows, D: columns } = checkRmsNorm(args);
  const { input, weight, output, epsilon } = args;
  recorder.call(rmsNormKernel, { input, weight, output, rows, columns, epsilon });
}

/** Records {@linkcode Operations.rmsNormBackward}. */
export function rmsNormBackward(recorder: Recorder, args: Arguments<"rmsNormBackward">): void {
  const { M: rows, D: columns } = checkRmsNormBackward(args);
  const { input, weight, gradOutput, gradInput, gradWeight, epsilon, accumulate } = args;
  const sums = partialSums(recorder, rows, columns);
  recorder.call(rmsNormBackwardKernel, {
    input,
    weight,
    gradOutput,
    gradInput,
    ...sums,
    rows,
    columns,
    epsilon,
    keep: accumulate ? 0xffffffff : 0,
    weighted: gradWeight === null ? 0 : 1,
  });
  if (gradWeight !== null) addPartials(recorder, sums, gradWeight);
}
