/**
 * One linear layer, forward and backward: a weight in any format, a bias, an adapter.
 *
 * @module
 */

import type { LowRank, Operations, Tensor } from "../../kernels/device.ts";
import type { Linear, LinearAdapter } from "./language_model.ts";

/**
 * `output (+)= input W^T + bias + adapter(input)`. `hidden` saves the adapter's inner activations;
 * it is absent exactly where there is no adapter.
 */
export function forwardLinear(
  operations: Operations,
  { weight, bias, adapter }: Linear,
  input: Tensor,
  output: Tensor,
  hidden: Tensor | undefined,
  accumulate: boolean,
  dropout: boolean,
): void {
  operations.linear({
    input,
    weight,
    output,
    accumulate,
    ...(bias === null ? {} : { bias: bias.value }),
  });
  if (adapter === null || hidden === undefined) return;
  operations.lowRank({ ...lowRank(adapter, input, dropout), hidden, output });
}

/**
 * Adds to the gradients of what trains in the layer, and writes (or adds) the gradient of its input
 * unless that is null.
 */
export function backwardLinear(
  operations: Operations,
  { weight, gradient, bias, adapter }: Linear,
  input: Tensor,
  hidden: Tensor | undefined,
  gradOutput: Tensor,
  gradInput: Tensor | null,
  accumulate: boolean,
): void {
  if (gradient !== null) {
    operations.matmul({
      left: gradOutput,
      right: input,
      output: gradient,
      orientation: "tn",
      accumulate: true,
    });
  }
  if (bias !== null && bias.gradient !== null) {
    operations.columnSum({ input: gradOutput, output: bias.gradient });
  }
  if (gradInput !== null) {
    operations.linearTransposed({ gradOutput, weight, gradInput, accumulate });
  }
  if (adapter === null || hidden === undefined || adapter.b.gradient === null) return;
  operations.lowRankBackward({
    ...lowRank(adapter, input, true),
    hidden,
    gradOutput,
    gradA: adapter.a?.gradient ?? null,
    gradB: adapter.b.gradient,
    gradInput,
  });
}

function lowRank(
  { a, b, pool, repeat, scale, dropout }: LinearAdapter,
  input: Tensor,
  withDropout: boolean,
): LowRank {
  return {
    input,
    a: a?.value ?? null,
    b: b.value,
    pool,
    repeat,
    scale,
    ...(dropout !== undefined && withDropout ? { dropout } : {}),
  };
}
