/**
 * Calibration: text streams through a model block by block, and a method gets what it asks of the
 * inputs of every linear layer.
 *
 * The device holds one block, one batch of activations and the Gram matrices of that block; the hidden
 * states of all windows wait in a file. So memory does not depend on the number of windows.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { blockLinears, type LinearShape } from "../models/architecture.ts";
import type { ModelSource } from "../models/language_model.ts";
import { BLOCK_INPUTS, BlockPass, type NeedsOf } from "./block_pass.ts";
import { DeviceBlock } from "./device_block.ts";
import { writeEmbeddings } from "./embedding.ts";
import { HiddenStates } from "./hidden_states.ts";
import type { LayerCalibration } from "./layer_calibration.ts";
import type { CalibrationShape } from "./options.ts";

/** What streams through which model. */
export interface CalibrationRun {
  /** Computes. */
  readonly device: Device;
  /** The model whose activations are seen. */
  readonly source: ModelSource;
  /** `[samples, length]` token ids. */
  readonly windows: Uint32Array;
  /** Of the windows and their batches. */
  readonly shape: CalibrationShape;
  /** What is gathered for each layer. */
  readonly needs: NeedsOf;
  /** Path of the file of hidden states, which does not exist before and after. */
  readonly scratch: string;
  /** Ends the run between two batches. */
  readonly signal: AbortSignal;
  /** Called with every layer in the order of {@linkcode modelLinears}, all of them once. */
  visit(linear: LinearShape, calibration: LayerCalibration | undefined): Visited;
  /**
   * Whether the weights that `visit` returns take the place of the model's own before the hidden
   * states move on: for all layers of a block at once, or (`within_blocks`) before the inputs of the
   * next layers of the same block are seen, too. Default: they do not.
   */
  readonly replace?: "never" | "between_blocks" | "within_blocks";
  /** Called with the number of blocks that are done. */
  report?(done: number): void;
}

/** The weight that a layer has from now on, if layers are replaced. */
type Visited = HostWeight | Promise<HostWeight> | void | Promise<void>;

/** What is known of a run behind its end. */
export interface CalibrationFacts {
  /** Largest relative error of a Gram matrix, as its probe says. */
  readonly gramError: number;
}

/**
 * Streams the windows through the model.
 *
 * @throws {UserError} If activations are not finite, or the device computes wrongly.
 * @throws `signal.reason` if aborted.
 */
export async function calibrate(run: CalibrationRun): Promise<CalibrationFacts> {
  const { device, source, shape } = run;
  const size = shape.batchSize * shape.length * source.config.hiddenSize;
  using states = new HiddenStates(run.scratch, device, size);
  await writeEmbeddings(states, run.windows, source);
  let gramError = 0;
  for (let layer = 0; layer < source.config.layers; layer++) {
    run.report?.(layer);
    const block = new DeviceBlock(device, source, layer);
    try {
      await block.fill(source);
      gramError = Math.max(gramError, await calibrateBlock(run, states, block, layer));
    } finally {
      block.release();
    }
  }
  return { gramError };
}

/** Returns the largest error of a Gram matrix. */
async function calibrateBlock(
  run: CalibrationRun,
  states: HiddenStates,
  block: DeviceBlock,
  layer: number,
): Promise<number> {
  const { replace = "never", needs } = run;
  const linears = blockLinears(run.source.config, layer);
  const moveOn = layer + 1 < run.source.config.layers;
  let gramError = 0;
  for (const group of passes(linears, replace)) {
    const observed = await pass(run, states, block, {
      needs: (linear) => group.some(({ path }) => path === linear.path) ? needs(linear) : null,
      moveOn: replace === "never" && moveOn,
    });
    gramError = Math.max(gramError, observed.gramError);
    for (const linear of group) {
      run.signal.throwIfAborted();
      const weight = await run.visit(linear, observed.layers.get(linear.path));
      if (replace !== "never" && weight) block.replace(linear.name, weight);
    }
  }
  if (replace !== "never" && moveOn) await pass(run, states, block, { needs: () => null, moveOn });
  return gramError;
}

/** The layers of a block that are visited after one pass, in turn. */
function passes(
  linears: readonly LinearShape[],
  replace: CalibrationRun["replace"],
): readonly (readonly LinearShape[])[] {
  if (replace !== "within_blocks") return [linears];
  return BLOCK_INPUTS.map((input) => linears.filter(({ name }) => input.linears.includes(name)));
}

/** Runs a block on all batches; `moveOn` puts its outputs in the place of its inputs. */
async function pass(
  { device, source, shape, signal }: CalibrationRun,
  states: HiddenStates,
  { block }: DeviceBlock,
  { needs, moveOn }: { readonly needs: NeedsOf; readonly moveOn: boolean },
) {
  const forward = new BlockPass(device, source.config, block, shape, needs);
  const output = new ArrayBuffer(moveOn ? states.batchBytes : 0);
  try {
    for (let batch = 0; batch < shape.samples / shape.batchSize; batch++) {
      signal.throwIfAborted();
      await forward.run(states.read(batch));
      if (!moveOn) continue;
      states.write(batch * states.size, await device.readFloats(forward.output, output));
    }
    return await forward.finish();
  } finally {
    forward.release();
  }
}
