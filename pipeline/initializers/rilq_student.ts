/**
 * The quantized model whose adapters RILQ trains.
 *
 * @module
 */

import type { Device, Tensor } from "../../kernels/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { writeModule } from "../adapters/placement.ts";
import { modelLinears } from "../models/architecture.ts";
import { BatchModel } from "../models/batch_model.ts";
import {
  allocateLanguageModel,
  freeLanguageModel,
  type LanguageModel,
} from "../models/language_model.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import type { AdapterTarget, AdapterTargets, PlannedInitialization } from "./model_initializer.ts";
import { placeTargets, readModule } from "./placed_adapters.ts";

/** What of RILQ's settings decides the student. */
export interface StudentOptions {
  /** Factor on the mean squared difference of hidden states. */
  readonly hidden_weight: number;
  /** Factor on the mean cross-entropy. */
  readonly lm_weight: number;
  /** Which hidden states are compared. */
  readonly hidden_states: "final_norm" | "last_block";
  /** Windows whose gradients are summed. */
  readonly accumulate: number;
  /** Whether activations are computed again in the backward pass. */
  readonly activation_checkpointing: boolean;
}

/** A model with trained adapters, set up for one window. */
export class RilqStudent {
  /** Filled by the caller. */
  readonly model: LanguageModel;
  /** The model's recordings; gradients are those of the mean over `accumulate` windows. */
  readonly batch: BatchModel;
  /** `[length, hidden]`: the teacher's hidden states, to be filled with the tokens. */
  readonly target: Tensor;
  /** `[length]`: the sums of squared differences of each token. */
  readonly hiddenLosses: Tensor;
  /** What the weight of each target token has to be. */
  readonly tokenWeight: number;
  readonly #scope: TensorScope;

  /** Allocates the base and the adapters, without values. */
  constructor(
    device: Device,
    { base, targets, shape: { length } }: PlannedInitialization,
    options: StudentOptions,
  ) {
    const { config } = base;
    const { factors, adapterOf } = placeTargets(device, modelLinears(config), targets);
    this.model = allocateLanguageModel(device, base, factors, adapterOf);
    const scope = this.#scope = new TensorScope(device);
    this.target = scope.tensor("f32", [length, config.hiddenSize], "hidden states of teacher");
    this.hiddenLosses = scope.tensor("f32", [length], "losses of hidden states");
    this.tokenWeight = length < 2 ? 0 : options.lm_weight / (length - 1) / options.accumulate;
    this.batch = new BatchModel(this.model, {
      batchSize: 1,
      length,
      checkpointing: options.activation_checkpointing,
      hiddenLoss: {
        at: options.hidden_states,
        target: this.target,
        scale: options.hidden_weight / this.target.size / options.accumulate,
        losses: this.hiddenLosses,
      },
    });
  }

  /** Writes the values of all adapters. */
  fill(moduleOf: (target: AdapterTarget) => HostModule, targets: AdapterTargets): void {
    for (const { linears } of this.model.blocks) {
      for (const { shape, adapter } of Object.values(linears)) {
        const target = targets.get(shape.path);
        if (adapter === null || target === undefined) continue;
        writeModule(this.model.device, adapter, moduleOf(target));
      }
    }
  }

  /** The values of all adapters, by path. */
  async readBack(targets: AdapterTargets): Promise<Map<string, HostModule>> {
    const modules = new Map<string, HostModule>();
    for (const { linears } of this.model.blocks) {
      for (const { shape: { path }, adapter } of Object.values(linears)) {
        const target = targets.get(path);
        if (adapter === null || target === undefined) continue;
        modules.set(path, await readModule(this.model.device, adapter, target.shape));
      }
    }
    return modules;
  }

  /** Frees everything. */
  release(): void {
    this.batch.release();
    this.#scope.release();
    freeLanguageModel(this.model);
  }
}
