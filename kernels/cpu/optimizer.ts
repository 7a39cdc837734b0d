/**
 * Gradient clipping and AdamW.
 *
 * @module
 */

import { type Arguments, checkAdamw, checkGradientNorm } from "../shapes.ts";
import { at, kernel } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { ELEMENTS_PER_TASK, overVectors, perElement } from "./vectors.ts";
import { type Expression, f32, f32x4, f64, f64x2, i32, i8x16, select } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Lanes 2 and 3 in places 0 and 1. */
const HIGH_HALF = [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15];

/**
 * Sums of squares of {@linkcode ELEMENTS_PER_TASK} elements each, in float64: a square has 48
 * significant bits, and the sum of 2^30 of them loses nothing that f32 would show.
 */
const squaresKernel = kernel(
  "squares",
  { gradients: "tensor", sums: "tensor", first: "i32", size: "i32" },
  (f, p) => {
    const tasks = i32.divU(i32.add(p.size, ELEMENTS_PER_TASK - 1), ELEMENTS_PER_TASK);
    f.tasks(tasks, (task) => {
      const from = f.let(i32.mul(task, ELEMENTS_PER_TASK));
      const to = i32.minU(i32.add(from, ELEMENTS_PER_TASK), p.size);
      const sums = Array.from({ length: 8 }, () => f.let(f64x2.splat(f64.const(0))));
      overVectors(f, from, to, 4, ({ load }) => {
        load(p.gradients).forEach((values, i) => {
          const halves = [values, i8x16.shuffle(values, values, HIGH_HALF)];
          halves.forEach((half, j) => {
            const value = f.let(f64x2.promoteLowF32x4(half));
            const sum = sums[2 * i + j] as Local<"v128">;
            f.set(sum, f64x2.relaxedMadd(value, value, sum));
          });
        });
      });
      const total = f.let(pairwise(sums));
      const sum = f64.add(f64x2.extract(total, 0), f64x2.extract(total, 1));
      f.do(f64.store(at(p.sums, i32.add(p.first, task), 8), sum));
    });
  },
);

function pairwise(vectors: readonly Expression<"v128">[]): Expression<"v128"> {
  if (vectors.length === 1) return vectors[0] as Expression<"v128">;
  const half = vectors.length / 2;
  return f64x2.add(pairwise(vectors.slice(0, half)), pairwise(vectors.slice(half)));
}

/** `output[0]` = the root of all sums, `output[1] = min(1, maxNorm / (norm + 1e-6))`. */
const normKernel = kernel(
  "norm",
  { sums: "tensor", output: "tensor", count: "i32", maxNorm: "f64" },
  (f, p) => {
    f.tasks(1, () => {
      const sum = f.let(f64.const(0));
      f.for(0, p.count, 1, (i) => f.set(sum, f64.add(sum, f64.load(at(p.sums, i, 8)))));
      const norm = f.let(f64.sqrt(sum));
      const factor = f64.min(1, f64.div(p.maxNorm, f64.add(norm, 1e-6)));
      f.do(f32.store(p.output, f32.demote(norm)));
      // Infinity does not clip, whatever the norm is.
      const clips = f64.lt(p.maxNorm, Infinity);
      f.do(f32.store(p.output, f32.demote(select(factor, f64.const(1), clips)), 4));
    });
  },
);

/**
 * One step of AdamW (Loshchilov & Hutter 2019, Algorithm 2), in the order of PyTorch; see
 * `reference/optimizer.ts` for the formulas and the order of `hyper`.
 */
const adamwKernel = kernel(
  "adamw",
  {
    parameters: "tensor",
    gradients: "tensor",
    moment1: "tensor",
    moment2: "tensor",
    hyper: "tensor",
    norm: "tensor",
    size: "i32",
  },
  (f, p) => {
    const hyper = (index: number) => f32.load(p.hyper, 4 * index);
    const splat = (value: Expression<"f32">) => f.let(f32x4.splat(value));
    const clip = splat(f32.load(p.norm, 4));
    const beta1 = splat(hyper(1));
    const beta2 = splat(hyper(2));
    const fresh1 = splat(f32.sub(1, hyper(1)));
    const fresh2 = splat(f32.sub(1, hyper(2)));
    const epsilon = splat(hyper(3));
    const shrink = splat(f32.sub(1, f32.mul(hyper(0), hyper(4))));
    const rate = splat(f32.div(hyper(0), hyper(5)));
    const correction2 = splat(hyper(6));
    const inputs = [p.parameters, p.gradients, p.moment1, p.moment2] as const;
    const outputs = [p.parameters, p.moment1, p.moment2];
    perElement(f, p.size, inputs, outputs, ([parameter, gradient, first, second]) => {
      const g = f.let(f32x4.mul(gradient, clip));
      const m = f.let(f32x4.relaxedMadd(beta1, first, f32x4.mul(fresh1, g)));
      const v = f.let(f32x4.relaxedMadd(beta2, second, f32x4.mul(f32x4.mul(fresh2, g), g)));
      const denominator = f32x4.add(f32x4.sqrt(f32x4.div(v, correction2)), epsilon);
      const change = f32x4.div(f32x4.mul(rate, m), denominator);
      return [f32x4.sub(f32x4.mul(parameter, shrink), change), m, v];
    });
  },
);

/** Kernels of this file. */
export const optimizerKernels = [squaresKernel, normKernel, adamwKernel];

/** Records {@linkcode Operations.gradientNorm}. */
export function gradientNorm(recorder: Recorder, args: Arguments<"gradientNorm">): void {
  checkGradientNorm(args);
  const { gradients, maxNorm, output } = args;
  const counts = gradients.map(({ size }) => Math.ceil(size / ELEMENTS_PER_TASK));
  const count = counts.reduce((sum, tasks) => sum + tasks, 0);
  // float64 takes two words.
  const sums = recorder.scratch("u32", [Math.max(1, 2 * count)]);
  let first = 0;
  gradients.forEach((tensor, i) => {
    recorder.call(squaresKernel, { gradients: tensor, sums, first, size: tensor.size });
    first += counts[i] as number;
  });
  recorder.call(normKernel, { sums, output, count, maxNorm });
}

/** Records {@linkcode Operations.adamw}. */
export function adamw(recorder: Recorder, args: Arguments<"adamw">): void {
  const { parameters, gradients, moment1, moment2, hyper, norm } = args;
  const { size } = checkAdamw(args);
  recorder.call(adamwKernel, { parameters, gradients, moment1, moment2, hyper, norm, size });
}
