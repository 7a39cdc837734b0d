/**
 * The block maxima of NF4 weights as plain floats.
 *
 * @module
 */

import { NF4_ABSMAX_BLOCK, NF4_BLOCK, type Nf4Absmax, type Tensor } from "../device.ts";
import { DYNAMIC_MAP } from "../nf4.ts";
import { at, kernel } from "./kernel.ts";
import type { Recorder } from "./recorder.ts";
import { f32, i32 } from "./wasm/expression.ts";

const MAP = Float32Array.from(DYNAMIC_MAP);

/** Absmax values of one task. */
const PER_TASK = 4096;

/** `output[i] = map[code[i]] * scales[floor(i / 256)] + offset`. */
const absmaxKernel = kernel(
  "nf4_absmax",
  {
    codes: "tensor",
    scales: "tensor",
    offset: "tensor",
    map: "tensor",
    output: "tensor",
    size: "i32",
  },
  (f, p) => {
    const tasks = i32.divU(i32.add(p.size, PER_TASK - 1), PER_TASK);
    f.tasks(tasks, (task) => {
      const from = f.let(i32.mul(task, PER_TASK));
      const to = f.let(i32.minU(i32.add(from, PER_TASK), p.size));
      const offset = f.let(f32.load(p.offset));
      f.for(from, to, 1, (index) => {
        const code = i32.load8U(at(p.codes, index, 1));
        const scale = f32.load(at(p.scales, i32.shrU(index, Math.log2(NF4_ABSMAX_BLOCK))));
        const value = f32.add(f32.mul(f32.load(at(p.map, code)), scale), offset);
        f.do(f32.store(at(p.output, index), value));
      });
    });
  },
);

/** Kernels of this file. */
export const absmaxKernels = [absmaxKernel];

/** The absmax of a weight with `weights` values; undoes double quantization where there is one. */
export function plainAbsmax(recorder: Recorder, absmax: Nf4Absmax, weights: number): Tensor {
  if (absmax.kind === "plain") return absmax.values;
  const size = weights / NF4_BLOCK;
  const output = recorder.scratch("f32", [size]);
  const { codes, scales, offset } = absmax;
  recorder.call(absmaxKernel, {
    ...{ codes, scales, offset, output, size },
    map: recorder.constant(MAP),
  });
  return output;
}
