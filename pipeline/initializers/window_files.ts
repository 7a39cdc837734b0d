/**
 * Hidden states of all calibration windows in scratch files, and the passes that move them on.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { writeEmbeddings } from "../calibration/embedding.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { forwardBlock } from "../models/block.ts";
import {
  type BlockActivations,
  blockActivations,
  blockEnvironment,
} from "../models/block_tensors.ts";
import type { ModelConfig } from "../models/config.ts";
import type { Block, ModelSource } from "../models/language_model.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import type { ModelInitialization } from "./model_initializer.ts";

/** What passes over windows need. */
export type WindowRun = Pick<ModelInitialization, "device" | "scratch" | "shape" | "signal">;

/** A file with `[length, width]` values for every window, which disposing removes. */
export function windowFile(
  { scratch, shape }: WindowRun,
  name: string,
  width: number,
): HiddenStates {
  return scratch(name, shape.length * width);
}

/** A {@linkcode windowFile} of the hidden states before the first block. */
export async function embeddedWindows(
  run: WindowRun & Pick<ModelInitialization, "windows">,
  name: string,
  source: ModelSource,
): Promise<HiddenStates> {
  const states = windowFile(run, name, source.config.hiddenSize);
  await writeEmbeddings(states, run.windows, source);
  return states;
}

/** A block on one window: a recording with the tensors it reads and writes. */
export class WindowPass {
  /** `[length, hidden]`: to be filled before every replay. */
  readonly input: Tensor;
  /** `[length, hidden]`: the hidden states behind the block. */
  readonly output: Tensor;
  /** What the last replay left inside the block. */
  readonly activations: BlockActivations;
  readonly #scope: TensorScope;
  readonly #recording: Recording;

  /** Allocates and records for the block as it is now. */
  constructor(device: Device, config: ModelConfig, block: Block, length: number) {
    const scope = this.#scope = new TensorScope(device);
    this.input = scope.tensor("f32", [length, config.hiddenSize], "input of block");
    this.output = scope.tensor("f32", [length, config.hiddenSize], "input of block after");
    const environment = blockEnvironment(scope, config, { batchSize: 1, length });
    const activations = this.activations = blockActivations(scope, config, length, block);
    this.#recording = device.record("a block on a window", (operations) => {
      forwardBlock(operations, environment, block, activations, this.input, this.output, {
        dropout: false,
      });
    });
  }

  /** Runs the block on all windows of `from` and writes what `result` then holds to `to`. */
  async runAll(
    { device, shape, signal }: WindowRun,
    from: HiddenStates,
    to: HiddenStates,
    result: Tensor = this.output,
  ): Promise<void> {
    const buffer = new ArrayBuffer(to.batchBytes);
    for (let window = 0; window < shape.samples; window++) {
      signal.throwIfAborted();
      device.write(this.input, from.read(window));
      device.run(this.#recording);
      to.write(window * to.size, await device.readFloats(result, buffer));
    }
  }

  /** Frees everything but the block. */
  release(): void {
    this.#recording.release();
    this.#scope.release();
  }
}
