/**
 * Gated activation (Shazeer 2020, SwiGLU).
 *
 * @module
 */

import { type Arguments, checkSwiglu, checkSwigluBackward } from "../shapes.ts";
import { kernel } from "./kernel.ts";
import { exp } from "./math.ts";
import type { Recorder } from "./recorder.ts";
import { perElement } from "./vectors.ts";
import { type Expression, f32x4 } from "./wasm/expression.ts";
import type { FunctionBuilder, Local } from "./wasm/function.ts";

/** `y = silu(g) u` with `silu(g) = g / (1 + exp(-g))`. */
const swigluKernel = kernel(
  "swiglu",
  { gate: "tensor", up: "tensor", output: "tensor", size: "i32" },
  (f, p) => {
    perElement(f, p.size, [p.gate, p.up], [p.output], ([gate, up]) => [
      f32x4.mul(f32x4.mul(gate, sigmoid(f, gate)), up),
    ]);
  },
);

/** `du = dy silu(g)`, `dg = dy u s (1 + g (1 - s))` with s = sigmoid(g). */
const swigluBackwardKernel = kernel(
  "swigluBackward",
  {
    gate: "tensor",
    up: "tensor",
    gradOutput: "tensor",
    gradGate: "tensor",
    gradUp: "tensor",
    size: "i32",
  },
  (f, p) => {
    const inputs = [p.gate, p.up, p.gradOutput] as const;
    const one = f.let(f32x4.splat(1));
    perElement(f, p.size, inputs, [p.gradGate, p.gradUp], ([gate, up, gradOutput]) => {
      const s = f.let(sigmoid(f, gate));
      const shared = f.let(f32x4.mul(gradOutput, s));
      const slope = f32x4.relaxedMadd(gate, f32x4.sub(one, s), one);
      return [f32x4.mul(f32x4.mul(shared, up), slope), f32x4.mul(shared, gate)];
    });
  },
);

function sigmoid(f: FunctionBuilder, x: Local<"v128">): Expression<"v128"> {
  const one = f32x4.splat(1);
  return f32x4.div(one, f32x4.add(one, exp(f, f32x4.neg(x))));
}

/** Kernels of this file. */
export const activationKernels = [swigluKernel, swigluBackwardKernel];

/** Records {@linkcode Operations.swiglu}. */
export function swiglu(recorder: Recorder, args: Arguments<"swiglu">): void {
  const { gate, up, output } = args;
  recorder.call(swigluKernel, { gate, up, output, ...checkSwiglu(args) });
}

/** Records {@linkcode Operations.swigluBackward}. */
export function swigluBackward(recorder: Recorder, args: Arguments<"swigluBackward">): void {
  const { gate, up, gradOutput, gradGate, gradUp } = args;
  const { size } = checkSwigluBackward(args);
  recorder.call(swigluBackwardKernel, { gate, up, gradOutput, gradGate, gradUp, size });
}
