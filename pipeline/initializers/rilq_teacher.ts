/**
 * The last hidden states of the full-precision model, which RILQ's students are to have.
 *
 * @module
 */

import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import { DeviceBlock } from "../calibration/device_block.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { FINAL_NORM } from "../models/architecture.ts";
import type { ModelConfig } from "../models/config.ts";
import { TensorScope } from "../models/tensor_scope.ts";
import type { ModelInitialization } from "./model_initializer.ts";
import { embeddedWindows, WindowPass } from "./window_files.ts";

/**
 * Streams the windows through the full-precision model, one block at a time.
 *
 * @param normed Whether the states are those behind the final normalization.
 * @param report Called with the number of blocks that are done.
 * @returns A file with `[length, hidden]` for every window, to be disposed of.
 */
export async function teacherStates(
  run: ModelInitialization,
  normed: boolean,
  report: (blocks: number) => void,
): Promise<HiddenStates> {
  const { device, original } = run;
  const { config } = original;
  const states = await embeddedWindows(run, "teacher", original);
  try {
    for (let layer = 0; layer < config.layers; layer++) {
      report(layer);
      const block = new DeviceBlock(device, original, layer);
      try {
        await block.fill(original);
        const pass = new WindowPass(device, config, block.block, run.shape.length);
        try {
          await pass.runAll(run, states, states);
        } finally {
          pass.release();
        }
      } finally {
        block.release();
      }
    }
    if (normed) await normalize(run, states);
    return states;
  } catch (error) {
    states[Symbol.dispose]();
    throw error;
  }
}

async function normalize(run: ModelInitialization, states: HiddenStates): Promise<void> {
  const { device, original, shape, signal } = run;
  const norm = new FinalNorm(device, original.config, shape.length);
  try {
    device.write(norm.weight, await original.floats(FINAL_NORM));
    const buffer = new ArrayBuffer(states.batchBytes);
    for (let window = 0; window < shape.samples; window++) {
      signal.throwIfAborted();
      device.write(norm.input, states.read(window));
      device.run(norm.recording);
      states.write(window * states.size, await device.readFloats(norm.output, buffer));
    }
  } finally {
    norm.release();
  }
}

/** The normalization behind the last block, for one window. */
class FinalNorm {
  readonly weight: Tensor;
  readonly input: Tensor;
  readonly output: Tensor;
  readonly recording: Recording;
  readonly #scope: TensorScope;

  constructor(device: Device, { hiddenSize, normEpsilon }: ModelConfig, length: number) {
    const scope = this.#scope = new TensorScope(device);
    this.weight = scope.tensor("f32", [hiddenSize], FINAL_NORM);
    this.input = scope.tensor("f32", [length, hiddenSize], "hidden states of teacher");
    this.output = scope.tensor("f32", [length, hiddenSize], "final hidden states");
    this.recording = device.record("final normalization", (operations) => {
      const { input, weight, output } = this;
      operations.rmsNorm({ input, weight, output, epsilon: normEpsilon });
    });
  }

  release(): void {
    this.recording.release();
    this.#scope.release();
  }
}
