/**
 * AdamW on a device: moments of every slab, and one recording that adds the gradient of a penalty,
 * clips, updates and clears the gradients.
 *
 * @module
 */

import {
  type Device,
  type Operations,
  type Recording,
  type Tensor,
  VIEW_ALIGNMENT,
} from "../../kernels/device.ts";
import type { OptimizerOptions } from "./options.ts";
import type { ParameterSlab } from "./trainable.ts";

/** Optimizer state of some slabs. Gradients are zero after construction and after every step. */
export class AdamW {
  /** `[2]` f32: global gradient norm of the last step, before clipping, and the factor applied. */
  readonly norm: Tensor;
  readonly #device: Device;
  readonly #options: OptimizerOptions;
  readonly #moments: ReadonlyMap<string, Tensor>;
  /** Hyperparameters of slabs that decay and of slabs that do not. */
  readonly #hyper: Readonly<Record<"decay" | "plain", Tensor>>;
  readonly #identity: Tensor | null;
  readonly #update: Recording;
  readonly #clear: Recording;

  /**
   * @param clip The largest gradient norm, or null.
   * @param penalty Factor λ on the sum of squares of all values, which is added to the objective: the
   * gradient that is clipped is that of both. Not the decoupled decay of `options`.
   */
  constructor(
    device: Device,
    slabs: readonly ParameterSlab[],
    options: OptimizerOptions,
    clip: number | null,
    penalty = 0,
  ) {
    this.#device = device;
    this.#options = options;
    this.norm = device.tensor("f32", [2], "gradient norm");
    this.#hyper = {
      decay: device.tensor("f32", [8], "hyperparameters with weight decay"),
      plain: device.tensor("f32", [8], "hyperparameters without weight decay"),
    };
    const moments = new Map<string, Tensor>();
    const updates = slabs.map(({ name, parameters, gradients, decay }) => {
      const [moment1, moment2] = [1, 2].map((order) => {
        const label = `moment${order} of ${name}`;
        const tensor = device.tensor("f32", [parameters.size], label);
        moments.set(label, tensor);
        return tensor;
      }) as [Tensor, Tensor];
      const hyper = decay ? this.#hyper.decay : this.#hyper.plain;
      return { parameters, gradients, moment1, moment2, hyper, norm: this.norm };
    });
    this.#moments = moments;
    const identity = this.#identity = penalty === 0 ? null : identityMatrix(device);
    this.#update = device.record("adamw", (operations) => {
      if (identity !== null) {
        for (const slab of slabs) addPenalty(operations, device, slab, identity, penalty);
      }
      operations.gradientNorm({
        gradients: slabs.map(({ gradients }) => gradients),
        maxNorm: clip ?? Infinity,
        output: this.norm,
      });
      for (const update of updates) operations.adamw(update);
      for (const { gradients } of slabs) operations.fill({ output: gradients, value: 0 });
    });
    this.#clear = device.record("clear optimizer", (operations) => {
      for (const tensor of [...slabs.map(({ gradients }) => gradients), ...moments.values()]) {
        operations.fill({ output: tensor, value: 0 });
      }
    });
    this.clear();
  }

  /** Queues the return to the state after construction; the next step is step 0. */
  clear(): void {
    this.#device.run(this.#clear);
  }

  /** The moments by name, for checkpoints. */
  get moments(): ReadonlyMap<string, Tensor> {
    return this.#moments;
  }

  /** Queues one update; `step` counts from 0. */
  step(step: number, learningRate: number): void {
    const { betas: [beta1, beta2], epsilon, weight_decay } = this.#options;
    const corrections = [1 - beta1 ** (step + 1), 1 - beta2 ** (step + 1), 0];
    const hyper = (decay: number) =>
      Float64Array.of(learningRate, beta1, beta2, epsilon, decay, ...corrections);
    this.#device.write(this.#hyper.decay, hyper(weight_decay));
    this.#device.write(this.#hyper.plain, hyper(0));
    this.#device.run(this.#update);
  }

  /** Frees the optimizer's memory. */
  release(): void {
    this.#update.release();
    this.#clear.release();
    for (const tensor of [this.norm, ...Object.values(this.#hyper), ...this.#moments.values()]) {
      this.#device.free(tensor);
    }
    if (this.#identity !== null) this.#device.free(this.#identity);
  }
}

/** `gradients += 2 λ parameters`: a product with the identity, of rows as wide as slabs are padded to. */
function addPenalty(
  operations: Operations,
  device: Device,
  { parameters, gradients }: ParameterSlab,
  identity: Tensor,
  penalty: number,
): void {
  const shape = [parameters.size / VIEW_ALIGNMENT, VIEW_ALIGNMENT];
  operations.matmul({
    left: device.view(parameters, 0, shape),
    right: identity,
    output: device.view(gradients, 0, shape),
    orientation: "nn",
    scale: 2 * penalty,
    accumulate: true,
  });
}

function identityMatrix(device: Device): Tensor {
  const size = VIEW_ALIGNMENT;
  const identity = device.tensor("f32", [size, size], "hyperparameters of the penalty");
  const values = Float32Array.from(
    { length: size * size },
    (_, index) => index % (size + 1) === 0 ? 1 : 0,
  );
  device.write(identity, values);
  return identity;
}
