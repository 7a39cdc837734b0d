/**
 * A transformer block that trains its grids and adapters to compute what the full-precision block does.
 *
 * @module
 */

import type { Device, Operations, Recording, Tensor } from "../../kernels/device.ts";
import { backwardBlock, forwardBlock } from "../models/block.ts";
import { blockActivations, blockEnvironment, blockGradients } from "../models/block_tensors.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Block } from "../models/language_model.ts";
import type { ParameterSpace } from "../models/parameters.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import type { ClippedLinears } from "./clipped_linear.ts";
import type { ReconstructionTerm, ReconstructionUnit } from "./reconstruction.ts";

/** The block of ApiQ-bw, recorded for one window. */
export class BlockUnit implements ReconstructionUnit {
  readonly name: string;
  /**
   * What enters the block in the quantized model; what the full-precision block makes of what enters it
   * in the full-precision model; and, if augmented, what it makes of the first.
   */
  readonly inputs: readonly Tensor[];
  readonly terms: readonly ReconstructionTerm[];
  readonly clips: ParameterSpace;
  readonly factors: ParameterSpace;
  readonly evaluate: Recording;
  readonly step: Recording;
  readonly #scope: TensorScope;

  /**
   * Allocates and records.
   *
   * @param block The full-precision block, whose norms and biases are used as they are.
   * @param augmented Whether there is a second target (ApiQ's `aug_loss`).
   */
  constructor(
    device: Device,
    config: ModelConfig,
    name: string,
    block: Block,
    linears: ClippedLinears,
    length: number,
    augmented: boolean,
  ) {
    const scope = this.#scope = new TensorScope(device);
    const make = (label: string) => scope.tensor("f32", [length, config.hiddenSize], label);
    this.name = name;
    this.clips = linears.clips;
    this.factors = linears.factors;
    const trained = trainedBlock(block, linears);
    const [input, output, gradient] = [
      make("input of block"),
      make("output of block"),
      make("gradient"),
    ];
    const targets = Array.from({ length: augmented ? 2 : 1 }, () => make("target of block"));
    this.inputs = [input, ...targets];
    this.terms = targets.map((target, index) => ({
      losses: scope.tensor("f32", [length], "losses"),
      target,
      isReference: index === 0,
    }));
    const environment = blockEnvironment(scope, config, { batchSize: 1, length });
    const activations = blockActivations(scope, config, length, trained);
    const gradients = blockGradients(scope, config, length);
    const forward = (operations: Operations, gradient: Tensor | null) => {
      linears.recordQuantize(operations);
      forwardBlock(operations, environment, trained, activations, input, output, {
        dropout: false,
      });
      recordErrors(operations, this.terms, output, gradient);
    };
    this.evaluate = device.record("error of a block", (operations) => forward(operations, null));
    this.step = device.record("reconstruction of a block", (operations) => {
      forward(operations, gradient);
      linears.recordClear(operations);
      backwardBlock(
        operations,
        environment,
        trained,
        activations,
        input,
        gradient,
        gradients,
        false,
      );
      linears.recordBackward(operations);
    });
  }

  /** Frees everything but the layers. */
  release(): void {
    this.evaluate.release();
    this.step.release();
    this.#scope.release();
  }
}

/**
 * The mean squared differences of one output from several targets, and the gradient of their sum unless
 * it is null.
 */
export function recordErrors(
  operations: Operations,
  terms: readonly ReconstructionTerm[],
  prediction: Tensor,
  gradient: Tensor | null,
): void {
  terms.forEach(({ target, losses }, index) => {
    operations.squaredError({
      prediction,
      target,
      scale: 1 / target.size,
      losses,
      ...(gradient === null ? {} : { gradient, accumulate: index > 0 }),
    });
  });
}

/** The block with its layers on their grids; nothing else in it trains. */
function trainedBlock(block: Block, { layers }: ClippedLinears): Block {
  const linears = Object.entries(block.linears).map(([name, linear]) => [
    name,
    layers.get(linear.shape.path)?.linear ?? linear,
  ]);
  return { ...block, linears: Object.fromEntries(linears) };
}
