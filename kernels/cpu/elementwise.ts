/**
 * Operations that treat every element alike: fill, copy, add.
 *
 * @module
 */

import type { Arguments } from "../shapes.ts";
import { kernel } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { perElement } from "./vectors.ts";
import { f32x4, i32x4 } from "./wasm/expression.ts";

/** `output = word`, the same 32 bits everywhere. */
const fillKernel = kernel("fill", { output: "tensor", word: "i32", size: "i32" }, (f, p) => {
  const words = f.let(i32x4.splat(p.word));
  perElement(f, p.size, [], [p.output], () => [words]);
});

/** `output = input`, 32-bit words of any type. */
export const copyKernel = kernel(
  "copy",
  { input: "tensor", output: "tensor", size: "i32" },
  (f, p) => perElement(f, p.size, [p.input], [p.output], (words) => words),
);

/** `output = left + right`. */
const addKernel = kernel(
  "add",
  { left: "tensor", right: "tensor", output: "tensor", size: "i32" },
  (f, p) => {
    perElement(f, p.size, [p.left, p.right], [p.output], ([left, right]) => [
      f32x4.add(left, right),
    ]);
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
