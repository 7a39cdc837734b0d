/**
 * Sums of neighbouring features and their transpose, with dropout: what QA-LoRA (Xu et al. 2024) does
 * to the input of an adapter. The mean's and the dropout's factors are left to what follows.
 *
 * @module
 */

import { DROPOUT, type Mask, maskOf } from "./dropout.ts";
import { at, kernel, laneSum } from "./kernel.ts";
import { overVectors, perRow, type Step, sumOf, zeros } from "./vectors.ts";
import {
  type Expression,
  f32,
  f32x4,
  i32,
  i32x4,
  i64,
  type Operand,
  v128,
} from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/**
 * `target[p] = sum of source[p * width ... (p + 1) * width - 1]` for `count` sums, 0 where the mask
 * drops element `number + p`.
 */
export function poolRow(
  f: FunctionBuilder,
  source: Local<"i64">,
  target: Local<"i64">,
  { width, count, number }: {
    readonly width: Local<"i32">;
    readonly count: Local<"i32">;
    readonly number: Local<"i32">;
  },
  mask: Mask,
): void {
  f.if(i32.eq(width, 1), () => {
    overVectors(f, 0, count, 4, ({ load, store }) => store(target, load(source)));
  }, () => {
    f.if(i32.eqz(i32.and(width, 3)), () => {
      f.for(0, count, 1, (p) => {
        const run = f.let(at(source, i32.mul(p, width)));
        const sums = zeros(f, 2);
        overVectors(f, 0, width, 2, ({ load }) => {
          load(run).forEach((value, i) => {
            const sum = sums[i] as Local<"v128">;
            f.set(sum, f32x4.add(sum, value));
          });
        });
        f.do(f32.store(f.let(at(target, p)), laneSum(f, sumOf(sums))));
      });
    }, () => {
      const next = f.let<"i64">(source);
      f.for(0, count, 1, (p) => {
        const sum = f.let(f32.const(0));
        f.for(0, width, 1, () => {
          f.set(sum, f32.add(sum, f32.load(next)));
          f.set(next, i64.add(next, 4));
        });
        f.do(f32.store(at(target, p), sum));
      });
    });
  });
  f.if(mask.drops, () => {
    overVectors(f, 0, count, 2, (step) => {
      step.store(target, masked(step, step.load(target), number, mask));
    });
  });
}

/** Values of a step, 0 where the mask drops element `number + index`. */
function masked(
  { index }: Step,
  values: readonly Expression<"v128">[],
  number: Local<"i32">,
  mask: Mask,
): Expression<"v128">[] {
  const numbers = values.map((_, i) => consecutive(i32.add(number, i32.add(index, 4 * i))));
  const kept = mask.kept(numbers);
  return values.map((value, i) => v128.and(value, kept[i] as Expression<"v128">));
}

/** `first`, `first + 1`, `first + 2`, `first + 3`. */
function consecutive(first: Operand<"i32">): Expression<"v128"> {
  return i32x4.add(i32x4.splat(first), v128.constWords([0, 1, 2, 3]));
}

/** `output [rows, count] = factor * pool(input [rows, count * width])`. */
export const poolKernel = kernel(
  "pool",
  {
    input: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    count: "i32",
    width: "i32",
    factor: "f32",
    ...DROPOUT,
  },
  (f, p) => {
    const mask = maskOf(f, p);
    const factor = f.let(f32x4.splat(p.factor));
    perRow(f, p.rows, p.columns, (row) => {
      const number = f.let(i32.mul(row, p.count));
      const target = f.let(at(p.output, number));
      const source = f.let(at(p.input, i32.mul(row, p.columns)));
      poolRow(f, source, target, { ...p, number }, mask);
      overVectors(f, 0, p.count, 2, ({ load, store }) => {
        store(target, load(target).map((value) => f32x4.mul(value, factor)));
      });
    });
  },
);

/** The transpose: every element of `input` is added to the `width` elements that it came from. */
export const unpoolKernel = kernel(
  "unpool",
  {
    input: "tensor",
    output: "tensor",
    rows: "i32",
    columns: "i32",
    count: "i32",
    width: "i32",
    factor: "f32",
    ...DROPOUT,
  },
  (f, p) => {
    const mask = maskOf(f, p);
    perRow(f, p.rows, p.columns, (row) => {
      const number = f.let(i32.mul(row, p.count));
      const source = f.let(at(p.input, number));
      const target = f.let(at(p.output, i32.mul(row, p.columns)));
      f.for(0, p.count, 1, (i) => {
        const share = f32.mul(f32.load(at(source, i)), p.factor);
        const value = f.let(f32x4.splat(share));
        f.if(mask.drops, () => {
          const [kept = value] = mask.kept([i32x4.splat(i32.add(number, i))]);
          f.set(value, v128.and(value, kept));
        });
        overVectors(f, 0, p.width, 2, ({ load, store }) => {
          store(target, load(target).map((sum) => f32x4.add(sum, value)));
        });
        f.set(target, at(target, p.width));
      });
    });
  },
);

/** Kernels of this file. */
export const poolingKernels = [poolKernel, unpoolKernel];
