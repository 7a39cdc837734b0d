/**
 * Operations that treat every element alike: fill, copy, add.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import { at, kernel, type KernelBuilder } from "./kernel.ts";
import type { Recorder } from "./recording.ts";
import { type Expression, f32, f32x4, i32, i32x4, v128 } from "./wasm/expression.ts";
import type { Local } from "./wasm/function.ts";

/** Elements of one task: 64 KiB of f32, enough to hide the hand-out of tasks. */
const ELEMENTS_PER_TASK = 16384;

/**
 * Runs over `size` elements in vectors of four and a scalar tail, both given the byte offset of
 * their first element in a tensor.
 */
export function overElements(
  f: KernelBuilder,
  size: Local<"i32">,
  vector: (offset: (tensor: Expression<"i64">) => Expression<"i64">) => void,
  scalar: (offset: (tensor: Expression<"i64">) => Expression<"i64">) => void,
): void {
  const tasks = i32.shrU(i32.add(size, ELEMENTS_PER_TASK - 1), Math.log2(ELEMENTS_PER_TASK));
  f.tasks(tasks, (task) => {
    const from = f.let(i32.mul(task, ELEMENTS_PER_TASK));
    const to = f.let(i32.minU(i32.add(from, ELEMENTS_PER_TASK), size));
    const whole = f.let(i32.and(to, -4));
    f.for(from, whole, 4, (index) => vector((tensor) => at(tensor, index)));
    f.for(whole, to, 1, (index) => scalar((tensor) => at(tensor, index)));
  });
}

/** `output = word`, the same 32 bits everywhere. */
const fillKernel = kernel("fill", { output: "tensor", word: "i32", size: "i32" }, (f, p) => {
  const words = f.let(i32x4.splat(p.word));
  overElements(
    f,
    p.size,
    (offset) => f.do(v128.store(offset(p.output), words)),
    (offset) => f.do(i32.store(offset(p.output), p.word)),
  );
});

/** `output = input`, 32-bit words of any type. */
export const copyKernel = kernel(
  "copy",
  { input: "tensor", output: "tensor", size: "i32" },
  (f, p) => {
    overElements(
      f,
      p.size,
      (offset) => f.do(v128.store(offset(p.output), v128.load(offset(p.input)))),
      (offset) => f.do(i32.store(offset(p.output), i32.load(offset(p.input)))),
    );
  },
);

/** `output = left + right`. */
const addKernel = kernel(
  "add",
  { left: "tensor", right: "tensor", output: "tensor", size: "i32" },
  (f, p) => {
    overElements(
      f,
      p.size,
      (offset) => {
        const sum = f32x4.add(v128.load(offset(p.left)), v128.load(offset(p.right)));
        f.do(v128.store(offset(p.output), sum));
      },
      (offset) => {
        const sum = f32.add(f32.load(offset(p.left)), f32.load(offset(p.right)));
        f.do(f32.store(offset(p.output), sum));
      },
    );
  },
);

/** Kernels of this file. */
export const elementwiseKernels = [fillKernel, copyKernel, addKernel];

/** Records {@linkcode Operations.fill}. */
export function fill(recorder: Recorder, { output, value }: Arguments<"fill">): void {
  const bits = new Uint32Array(output.dtype === "u32" ? [value] : Float32Array.of(value).buffer);
  recorder.call(fillKernel, { output, word: bits[0] ?? 0, size: output.size });
}

/** Records {@linkcode Operations.copy}. */
export function copy(recorder: Recorder, { input, output }: Arguments<"copy">): void {
  recorder.call(copyKernel, { input, output, size: output.size });
}

/** Records {@linkcode Operations.add}. */
export function add(recorder: Recorder, { left, right, output }: Arguments<"add">): void {
  recorder.call(addKernel, { left, right, output, size: output.size });
}
