/**
 * Squared error of activations and its gradient, row by row.
 *
 * @module
 */

import { type Arguments, checkSquaredError } from "../shapes.ts";
import { at, kernel, laneSum } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { overVectors, perRow, sumOf, zeros } from "./vectors.ts";
import { f32, f32x4, i32, i32x4, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

const squaredErrorKernel = kernel(
  "squaredError",
  {
    prediction: "tensor",
    target: "tensor",
    losses: "tensor",
    gradient: "tensor",
    rows: "i32",
    columns: "i32",
    twiceScale: "f32",
    withGradient: "i32",
    /** All ones to add to `gradient`, 0 to overwrite it. */
    keep: "i32",
  },
  (f, p) => {
    const twiceScale = f.let(f32x4.splat(p.twiceScale));
    const keep = f.let(i32x4.splat(p.keep));
    perRow(f, p.rows, p.columns, (row) => {
      const start = f.let(i32.mul(row, p.columns));
      const prediction = f.let(at(p.prediction, start));
      const target = f.let(at(p.target, start));
      const gradient = f.let(at(p.gradient, start));
      const squares = zeros(f, 4);
      overVectors(f, 0, p.columns, 4, ({ load }) => {
        const wanted = load(target);
        load(prediction).forEach((value, i) => {
          const difference = f.let(f32x4.sub(value, wanted[i] as Local<"v128">));
          const sum = squares[i] as Local<"v128">;
          f.set(sum, f32x4.relaxedMadd(difference, difference, sum));
        });
      });
      f.do(f32.store(at(p.losses, row), laneSum(f, sumOf(squares))));
      f.if(p.withGradient, () => {
        overVectors(f, 0, p.columns, 2, ({ load, store }) => {
          const predicted = load(prediction);
          const wanted = load(target);
          store(
            gradient,
            load(gradient).map((before, i) => {
              const [value, goal] = [predicted[i], wanted[i]] as [Local<"v128">, Local<"v128">];
              const change = f32x4.mul(twiceScale, f32x4.sub(value, goal));
              return f32x4.add(v128.and(before, keep), change);
            }),
          );
        });
      });
    });
  },
);

/** Kernels of this file. */
export const squaredErrorKernels = [squaredErrorKernel];

/** Records {@linkcode Operations.squaredError}. */
export function squaredError(recorder: Recorder, args: Arguments<"squaredError">): void {
  const { M: rows, N: columns } = checkSquaredError(args);
  const { prediction, target, scale, losses, gradient = null, accumulate } = args;
  recorder.call(squaredErrorKernel, {
    prediction,
    target,
    losses,
    gradient,
    rows,
    columns,
    twiceScale: 2 * scale,
    withGradient: gradient === null ? 0 : 1,
    keep: accumulate ? 0xffffffff : 0,
  });
}
