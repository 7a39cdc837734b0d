/**
 * Quantization with learned clipping (ApiQ, Liao et al. 2024) and the gradient of its logits, group
 * by group.
 *
 * @module
 */

import { type Arguments, checkClippedQuantize, checkClippedQuantizeBackward } from "../shapes.ts";
import type { ClippedGrid } from "../device.ts";
import { at, kernel, type KernelBuilder, laneSum, type LocalsOf } from "./kernel.ts";
import { exp } from "./math.ts";
import type { Recorder, ValuesOf } from "./recorder.ts";
import { overVectors, perRow, sumOf, zeros } from "./vectors.ts";
import { type Expression, f32, f32x4, i32, i32x4, v128 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

const GRID = {
  weight: "tensor",
  upper: "tensor",
  lower: "tensor",
  groups: "i32",
  groupSize: "i32",
  /** The largest code. */
  levels: "f32",
  /** Steps between the ends, or of a symmetric grid between zero and its end. */
  divisor: "f32",
  /** All ones or 0, as are the flags below. */
  symmetric: "i32",
  containsZero: "i32",
} as const;

/** The grid of a group, each number in all lanes. */
interface GroupGrid {
  readonly scale: Local<"v128">;
  readonly zero: Local<"v128">;
  /** `d scale / d upper`. */
  readonly byUpper: Local<"v128">;
  /** `d scale / d lower`. */
  readonly byLower: Local<"v128">;
}

const clippedQuantizeKernel = kernel(
  "clippedQuantize",
  { ...GRID, output: "tensor" },
  (f, p) => {
    const levels = f.let(f32x4.splat(p.levels));
    perRow(f, p.groups, p.groupSize, (group) => {
      const start = f.let(i32.mul(group, p.groupSize));
      const weight = f.let(at(p.weight, start));
      const output = f.let(at(p.output, start));
      const { scale, zero } = gridOf(f, p, group, weight);
      overVectors(f, 0, p.groupSize, 2, ({ load, store }) => {
        store(
          output,
          load(weight).map((w) => {
            const wanted = f32x4.add(f32x4.nearest(f32x4.div(w, scale)), zero);
            const code = f32x4.min(f32x4.max(wanted, f32x4.splat(0)), levels);
            return f32x4.mul(scale, f32x4.sub(code, zero));
          }),
        );
      });
    });
  },
);

const clippedQuantizeBackwardKernel = kernel(
  "clippedQuantizeBackward",
  { ...GRID, gradOutput: "tensor", gradUpper: "tensor", gradLower: "tensor" },
  (f, p) => {
    const levels = f.let(f32x4.splat(p.levels));
    perRow(f, p.groups, p.groupSize, (group) => {
      const start = f.let(i32.mul(group, p.groupSize));
      const weight = f.let(at(p.weight, start));
      const gradOutput = f.let(at(p.gradOutput, start));
      const { scale, zero, byUpper, byLower } = gridOf(f, p, group, weight);
      const sums = zeros(f, 2);
      overVectors(f, 0, p.groupSize, 2, ({ load }) => {
        const gradients = load(gradOutput);
        load(weight).forEach((w, i) => {
          const quotient = f.let(f32x4.div(w, scale));
          const wanted = f.let(f32x4.add(f32x4.nearest(quotient), zero));
          const code = f.let(f32x4.min(f32x4.max(wanted, f32x4.splat(0)), levels));
          const through = v128.and(quotient, f32x4.eq(code, wanted));
          const slope = f32x4.sub(f32x4.sub(code, zero), through);
          const sum = sums[i] as Local<"v128">;
          f.set(sum, f32x4.relaxedMadd(gradients[i] as Local<"v128">, slope, sum));
        });
      });
      const gradScale = f.let(laneSum(f, sumOf(sums)));
      for (const [tensor, slope] of [[p.gradUpper, byUpper], [p.gradLower, byLower]] as const) {
        const address = f.let(at(tensor, group));
        const change = f32.mul(gradScale, f32x4.extract(slope, 0));
        f.do(f32.store(address, f32.add(f32.load(address), change)));
      }
    });
  },
);

/** See {@linkcode Operations.clippedQuantize} for the formulas. */
function gridOf(
  f: KernelBuilder,
  p: LocalsOf<typeof GRID>,
  group: Local<"i32">,
  weight: Local<"i64">,
): GroupGrid {
  const { maximum, minimum } = extremesOf(f, weight, p.groupSize, p.containsZero);
  const symmetric = f.let(i32x4.splat(p.symmetric));
  const divisor = f.let(f32x4.splat(p.divisor));
  const upper = sigmoid(f, v128.load32Splat(at(p.upper, group)));
  const lower = sigmoid(f, v128.load32Splat(at(p.lower, group)));
  const high = f.let(f32x4.mul(upper.value, maximum));
  const low = f.let(f32x4.mul(lower.value, minimum));
  const sizes = [high, low].map((end) => f.let(f32x4.abs(end))) as [Local<"v128">, Local<"v128">];
  const range = v128.bitselect(f32x4.max(...sizes), f32x4.sub(high, low), symmetric);
  const free = f.let(f32x4.div(range, divisor));
  const scale = f.let(clamp(free, 1e-5, 1e4));
  const shift = f32x4.nearest(clamp(f32x4.div(f32x4.neg(low), scale), -1e4, 1e4));
  const isFree = f.let(f32x4.eq(scale, free));
  const byUpper = f.let(f32x4.ge(...sizes));
  /** Of the end that sets a symmetric scale the size, of both ends of an asymmetric one `value`. */
  const slope = (value: Expression<"v128">, sets: Expression<"v128">) => {
    const change = f.let(f32x4.div(value, divisor));
    const chosen = v128.bitselect(v128.and(f32x4.abs(change), sets), change, symmetric);
    return f.let(v128.and(chosen, isFree));
  };
  return {
    scale,
    zero: f.let(v128.bitselect(divisor, shift, symmetric)),
    byUpper: slope(f32x4.mul(upper.slope, maximum), byUpper),
    byLower: slope(f32x4.neg(f32x4.mul(lower.slope, minimum)), v128.not(byUpper)),
  };
}

/** The largest and the least weight of a group in all lanes. */
function extremesOf(
  f: FunctionBuilder,
  weight: Local<"i64">,
  size: Local<"i32">,
  containsZero: Local<"i32">,
): { maximum: Local<"v128">; minimum: Local<"v128"> } {
  const initial = v128.andnot(v128.load32Splat(weight), i32x4.splat(containsZero));
  const maximum = f.let(initial);
  const minimum = f.let(maximum);
  const include = (values: Expression<"v128">) => {
    const vector = f.let(values);
    f.set(maximum, f32x4.max(maximum, vector));
    f.set(minimum, f32x4.min(minimum, vector));
  };
  const whole = f.let(i32.and(size, -4));
  f.for(0, whole, 4, (k) => include(v128.load(at(weight, k))));
  f.for(whole, size, 1, (k) => include(v128.load32Splat(at(weight, k))));
  const overLanes = (vector: Local<"v128">, combine: typeof f32.max) => {
    const lanes = [0, 1, 2, 3].map((lane) => f32x4.extract(vector, lane));
    return f.let(f32x4.splat(lanes.reduce((left, right) => combine(left, right))));
  };
  return { maximum: overLanes(maximum, f32.max), minimum: overLanes(minimum, f32.min) };
}

/** The sigmoid and its derivative, neither by cancellation. */
function sigmoid(
  f: FunctionBuilder,
  logits: Expression<"v128">,
): { value: Local<"v128">; slope: Local<"v128"> } {
  const x = f.let(logits);
  const decay = f.let(exp(f, f32x4.neg(f32x4.abs(x))));
  const sum = f.let(f32x4.add(f32x4.splat(1), decay));
  const isNegative = f32x4.lt(x, f32x4.splat(0));
  const share = v128.bitselect(decay, f32x4.splat(1), isNegative);
  return {
    value: f.let(f32x4.div(share, sum)),
    slope: f.let(f32x4.div(decay, f32x4.mul(sum, sum))),
  };
}

function clamp(value: Expression<"v128">, least: number, largest: number): Expression<"v128"> {
  return f32x4.min(f32x4.max(value, f32x4.splat(least)), f32x4.splat(largest));
}

/** Kernels of this file. */
export const clippedQuantizeKernels = [clippedQuantizeKernel, clippedQuantizeBackwardKernel];

function gridValues(grid: ClippedGrid): ValuesOf<typeof GRID> {
  const { weight, upper, lower, groupSize, bits, symmetric, containsZero } = grid;
  const levels = 2 ** bits - 1;
  return {
    weight,
    upper,
    lower,
    groups: upper.size,
    groupSize,
    levels,
    divisor: symmetric ? 2 ** (bits - 1) - 1 : levels,
    symmetric: symmetric ? 0xffffffff : 0,
    containsZero: containsZero ? 0xffffffff : 0,
  };
}

/** Records {@linkcode Operations.clippedQuantize}. */
export function clippedQuantize(recorder: Recorder, args: Arguments<"clippedQuantize">): void {
  checkClippedQuantize(args);
  recorder.call(clippedQuantizeKernel, { ...gridValues(args), output: args.output });
}

/** Records {@linkcode Operations.clippedQuantizeBackward}. */
export function clippedQuantizeBackward(
  recorder: Recorder,
  args: Arguments<"clippedQuantizeBackward">,
): void {
  checkClippedQuantizeBackward(args);
  const { gradOutput, gradUpper, gradLower } = args;
  const values = { ...gridValues(args), gradOutput, gradUpper, gradLower };
  recorder.call(clippedQuantizeBackwardKernel, values);
}
