/**
 * One transformer block, forward and backward, as operations of a device.
 *
 * @module
 */

import type { KeyValueCache, Operations, Tensor } from "../../kernels/device.ts";
import type { BlockActivations, BlockEnvironment, BlockGradients } from "./block_tensors.ts";
import type { Block, Linear } from "./language_model.ts";
import { backwardLinears, forwardLinears } from "./linear_layer.ts";

/** How a block runs forward. */
export interface ForwardOptions {
  /** Whether adapters drop elements of their inputs. */
  readonly dropout: boolean;
  /** Earlier tokens of the sequences, which the new ones join: for generation. */
  readonly cache?: KeyValueCache;
  /** There are no earlier tokens: the new ones see each other only, whatever the cache holds. */
  readonly startsEmpty?: boolean;
}

/** `output = block(input)`, both `[T, hidden]`; saves what the backward pass needs. */
export function forwardBlock(
  operations: Operations,
  environment: BlockEnvironment,
  block: Block,
  activations: BlockActivations,
  input: Tensor,
  output: Tensor,
  { dropout, cache, startsEmpty = false }: ForwardOptions,
): void {
  const { config, attention, packing } = environment;
  const epsilon = config.normEpsilon;
  const { linears } = block;
  const apply = (
    from: Tensor,
    outputs: readonly (readonly [Linear, Tensor])[],
    accumulate = false,
  ) =>
    forwardLinears(
      operations,
      outputs.map(([linear, output]) => ({
        linear,
        output,
        hidden: activations.hidden[linear.shape.name],
      })),
      from,
      { accumulate, dropout },
    );

  operations.rmsNorm({
    input,
    weight: block.inputNorm.value,
    output: activations.normed,
    epsilon,
  });
  apply(activations.normed, [
    [linears.q_proj, activations.rawQueries],
    [linears.k_proj, activations.rawKeys],
    [linears.v_proj, activations.values],
  ]);
  for (
    const [norm, raw, normed] of [
      [block.queryNorm, activations.rawQueries, activations.queries],
      [block.keyNorm, activations.rawKeys, activations.keys],
    ] as const
  ) {
    if (norm !== null) {
      operations.rmsNorm({
        input: environment.headRows(raw),
        weight: norm.value,
        output: environment.headRows(normed),
        epsilon,
      });
    }
  }
  const positions = cache?.positions;
  rotate(operations, environment, activations.queries, config.heads, false, positions);
  rotate(operations, environment, activations.keys, config.kvHeads, false, positions);
  const { queries, keys, values, attended, logSumExp } = activations;
  if (cache !== undefined) operations.appendToCache({ ...cache, keys, values });
  if (cache === undefined || startsEmpty) {
    operations.attention({
      ...attention,
      queries,
      keys,
      values,
      output: attended,
      logSumExp,
      ...(packing && { starts: packing.starts }),
    });
  } else {
    operations.cachedAttention({ ...attention, ...cache, queries, output: attended });
  }

  apply(activations.attended, [[linears.o_proj, activations.middle]]);
  operations.addRmsNorm({
    input: activations.middle,
    residual: input,
    weight: block.attentionNorm.value,
    sum: activations.middle,
    output: activations.middleNormed,
    epsilon,
  });
  apply(activations.middleNormed, [
    [linears.gate_proj, activations.gate],
    [linears.up_proj, activations.up],
  ]);
  operations.swiglu({
    gate: activations.gate,
    up: activations.up,
    output: activations.activated,
  });
  operations.copy({ input: activations.middle, output });
  apply(activations.activated, [[linears.down_proj, output]], true);
}

/**
 * Turns `gradient [T, hidden]` with respect to the block's output into that with respect to its
 * input, in place, and adds to the gradients of everything in the block that trains. With
 * `needsInput` false (nothing below trains) the gradient of the input is left unfinished.
 */
export function backwardBlock(
  operations: Operations,
  environment: BlockEnvironment,
  block: Block,
  activations: BlockActivations,
  input: Tensor,
  gradient: Tensor,
  gradients: BlockGradients,
  needsInput: boolean,
): void {
  const { config, attention, packing } = environment;
  const epsilon = config.normEpsilon;
  const { linears } = block;
  const back = (
    from: Tensor,
    gradOutputs: readonly (readonly [Linear, Tensor])[],
    gradInput: Tensor | null,
  ) =>
    backwardLinears(
      operations,
      gradOutputs.map(([linear, gradOutput]) => ({
        linear,
        gradOutput,
        hidden: activations.hidden[linear.shape.name],
      })),
      from,
      gradInput,
    );

  back(activations.activated, [[linears.down_proj, gradient]], gradients.activated);
  operations.swigluBackward({
    gate: activations.gate,
    up: activations.up,
    gradOutput: gradients.activated,
    gradGate: gradients.gate,
    gradUp: gradients.up,
  });
  back(
    activations.middleNormed,
    [[linears.gate_proj, gradients.gate], [linears.up_proj, gradients.up]],
    gradients.normed,
  );
  operations.rmsNormBackward({
    input: activations.middle,
    weight: block.attentionNorm.value,
    gradOutput: gradients.normed,
    gradInput: gradient,
    gradWeight: block.attentionNorm.gradient,
    epsilon,
    accumulate: true, // the residual stream passes its own gradient on
  });

  back(activations.attended, [[linears.o_proj, gradient]], gradients.attended);
  operations.attentionBackward({
    ...attention,
    queries: activations.queries,
    keys: activations.keys,
    values: activations.values,
    output: activations.attended,
    logSumExp: activations.logSumExp,
    gradOutput: gradients.attended,
    gradQueries: gradients.queries,
    gradKeys: gradients.keys,
    gradValues: gradients.values,
    ...(packing && { starts: packing.starts }),
  });
  rotate(operations, environment, gradients.queries, config.heads, true);
  rotate(operations, environment, gradients.keys, config.kvHeads, true);
  for (
    const [norm, raw, gradNormed, gradRaw] of [
      [block.queryNorm, activations.rawQueries, gradients.queries, gradients.rawQueries],
      [block.keyNorm, activations.rawKeys, gradients.keys, gradients.rawKeys],
    ] as const
  ) {
    if (norm !== null) {
      operations.rmsNormBackward({
        input: environment.headRows(raw),
        weight: norm.value,
        gradOutput: environment.headRows(gradNormed),
        gradInput: environment.headRows(gradRaw),
        gradWeight: norm.gradient,
        epsilon,
      });
    }
  }
  const gradNormed = needsInput || block.inputNorm.gradient !== null ? gradients.normed : null;
  back(
    activations.normed,
    [
      [linears.q_proj, gradients.rawQueries],
      [linears.k_proj, gradients.rawKeys],
      [linears.v_proj, gradients.values],
    ],
    gradNormed,
  );
  if (gradNormed !== null) {
    operations.rmsNormBackward({
      input,
      weight: block.inputNorm.value,
      gradOutput: gradNormed,
      gradInput: gradient,
      gradWeight: block.inputNorm.gradient,
      epsilon,
      accumulate: true,
    });
  }
}

/** Whether anything in the block trains: if not, and nothing below does, its backward is skipped. */
export function trains(block: Block): boolean {
  const { inputNorm, attentionNorm, queryNorm, keyNorm, linears } = block;
  return [inputNorm, attentionNorm, queryNorm, keyNorm].some((norm) => !!norm?.gradient) ||
    Object.values(linears).some(({ gradient, bias, adapter }) =>
      gradient !== null || !!bias?.gradient || !!adapter?.b.gradient
    );
}

function rotate(
  operations: Operations,
  { config, attention, cosines, sines, packing }: BlockEnvironment,
  values: Tensor,
  heads: number,
  inverse: boolean,
  cached?: Tensor,
): void {
  const positions = packing?.positions ?? cached;
  operations.rope({
    values,
    cosines,
    sines,
    heads,
    headDim: config.headDim,
    // Packed tokens have positions of their own: each counts as a sequence.
    length: packing === null ? attention.length : 1,
    layout: config.ropeLayout,
    inverse,
    ...(positions === undefined ? {} : { positions }),
  });
}
