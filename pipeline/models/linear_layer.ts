/**
 * Linear layers, forward and backward: a weight in any format, a bias, an adapter.
 *
 * @module
 */

import type { LowRank, Operations, Tensor } from "../../kernels/device.ts";
import type { FrozenPair, Linear, LinearAdapter } from "./language_model.ts";

/** A layer of a group that reads one input. */
export interface ForwardLinear {
  /** Its weight, bias and adapter. */
  readonly linear: Linear;
  /** `[T, N]`. */
  readonly output: Tensor;
  /** Saves the adapter's inner activations; absent exactly where there is no adapter. */
  readonly hidden: Tensor | undefined;
}

/** `output (+)= input W^T + bias + adapter(input)` for layers that share their input. */
export function forwardLinears(
  operations: Operations,
  layers: readonly ForwardLinear[],
  input: Tensor,
  options: { readonly accumulate: boolean; readonly dropout: boolean },
): void {
  operations.linearGroup({
    input,
    layers: layers.map(({ linear: { weight, bias, adapter }, output, hidden }) => ({
      weight,
      output,
      ...(bias === null ? {} : { bias: bias.value }),
      ...(adapter === null || hidden === undefined
        ? {}
        : { adapter: { ...adapterFactors(adapter, options.dropout), hidden } }),
    })),
    accumulate: options.accumulate,
  });
  for (const { linear: { adapter }, output } of layers) {
    if (adapter?.frozen === undefined) continue;
    operations.lowRank({ ...frozenFactors(adapter, adapter.frozen), input, output });
  }
}

/** A layer of a group that gives one input its gradient. */
export interface BackwardLinear {
  /** Its weight, bias and adapter. */
  readonly linear: Linear;
  /** `[T, N]`. */
  readonly gradOutput: Tensor;
  /** What {@linkcode ForwardLinear} saved. */
  readonly hidden: Tensor | undefined;
}

/**
 * Adds to the gradients of what trains in layers that share their input, and writes the gradient of
 * that input unless it is null.
 */
export function backwardLinears(
  operations: Operations,
  layers: readonly BackwardLinear[],
  input: Tensor,
  gradInput: Tensor | null,
): void {
  for (const { linear: { gradient, bias }, gradOutput } of layers) {
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
  }
  if (gradInput !== null) {
    operations.linearGroupTransposed({
      layers: layers.map(({ linear: { weight }, gradOutput }) => ({ weight, gradOutput })),
      gradInput,
    });
  }
  for (const { linear: { adapter }, gradOutput, hidden } of layers) {
    if (adapter === null || hidden === undefined || adapter.b.gradient === null) continue;
    operations.lowRankBackward({
      ...adapterFactors(adapter, true),
      input,
      hidden,
      gradOutput,
      gradA: adapter.a?.gradient ?? null,
      gradB: adapter.b.gradient,
      gradInput,
    });
    if (adapter.frozen === undefined || gradInput === null) continue;
    operations.lowRankBackward({
      ...frozenFactors(adapter, adapter.frozen),
      input,
      gradOutput,
      gradA: null,
      gradB: null,
      gradInput,
    });
  }
}

function frozenFactors(
  { pool, repeat }: LinearAdapter,
  { a, b, scale, hidden }: FrozenPair,
): Omit<LowRank, "input"> & { readonly hidden: Tensor } {
  return { a, b, pool, repeat, scale, hidden };
}

function adapterFactors(
  { a, b, pool, repeat, scale, dropout }: LinearAdapter,
  withDropout: boolean,
): Omit<LowRank, "input"> {
  return {
    a: a?.value ?? null,
    b: b.value,
    pool,
    repeat,
    scale,
    ...(dropout !== undefined && withDropout ? { dropout } : {}),
  };
}
