/**
 * Training of quantization grids and adapters until what they compute resembles given outputs: of one
 * block (ApiQ-bw) or of layers that share an input (ApiQ-lw).
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import type { Device, Recording, Tensor } from "../../kernels/device.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import { UserError } from "../errors.ts";
import type { ParameterSpace } from "../models/parameters.ts";
import { AdamW } from "../training/optimizer.ts";
import type { WindowSplit } from "./held_out.ts";
import { KeptBest } from "./kept_best.ts";

/** A sum of squares in the objective. */
export interface ReconstructionTerm {
  /** `[length]`, written by both recordings: the sum over a row of the differences' squares. */
  readonly losses: Tensor;
  /** `[length, width]`: what the outputs should be. */
  readonly target: Tensor;
  /** Whether the target is the output of the full-precision model; its error is what is reported. */
  readonly isReference: boolean;
}

/** Something that trains, set up for one window. */
export interface ReconstructionUnit {
  /** "block 3", for messages. */
  readonly name: string;
  /** To be filled before every replay. */
  readonly inputs: readonly Tensor[];
  /** The objective is the sum of their mean squares. */
  readonly terms: readonly ReconstructionTerm[];
  /** The logits of the grids. */
  readonly clips: ParameterSpace;
  /** The matrices of the adapters; maybe none. */
  readonly factors: ParameterSpace;
  /** Forward only: fills the losses. */
  readonly evaluate: Recording;
  /** Forward and backward: fills the losses too, and adds to the gradients. */
  readonly step: Recording;
}

/** How a unit trains. */
export interface ReconstructionOptions {
  /** Passes over the training windows. */
  readonly epochs: number;
  /** Learning rate of the logits. */
  readonly clip_lr: number;
  /** Learning rate of the adapters. */
  readonly lr: number;
  /** Decoupled decay of both. */
  readonly weight_decay: number;
}

/** Who watches. */
export interface Watch {
  /** Ends training between two windows. */
  readonly signal: AbortSignal;
  /** Called after every window that was trained on. */
  trained(): void;
}

/** What training of one unit came to. */
export interface Reconstruction {
  /**
   * Mean squared error on the held-out windows, as a share of the mean square of the full-precision
   * outputs, before training.
   */
  readonly before: number;
  /** Of the values that were kept. */
  readonly after: number;
  /** The epoch whose values were kept; 0 for those before training. */
  readonly epoch: number;
}

/**
 * Trains a unit, window by window in the order of the text, and leaves the values of the epoch with the
 * least objective on the held-out windows.
 *
 * @param sources Where the values of each of the unit's inputs are.
 * @throws {UserError} If the objective is not finite.
 */
export async function reconstruct(
  device: Device,
  unit: ReconstructionUnit,
  sources: readonly HiddenStates[],
  split: WindowSplit,
  options: ReconstructionOptions,
  watch: Watch,
): Promise<Reconstruction> {
  const optimizers = allocateOptimizers(device, unit, options);
  const best = new KeptBest(device, [...unit.clips.slabs, ...unit.factors.slabs]);
  try {
    const feed = (window: number) =>
      unit.inputs.forEach((tensor, input) => {
        const states = sources[input];
        if (states === undefined) {
          throw new RangeError(`Input ${input} of ${unit.name} has no source`);
        }
        device.write(tensor, states.read(window));
      });
    const square = await targetSquare(device, unit, feed, split.heldOut);
    const before = await evaluate(device, unit, feed, split.heldOut);
    if (!Number.isFinite(before.objective) || !Number.isFinite(square)) {
      throw new UserError(
        `The outputs of ${unit.name} on the calibration text are not finite; check that the model's ` +
          `file is intact, and the model on text of its kind`,
      );
    }
    best.keep();
    let least = before;
    let epochOfLeast = 0;
    let step = 0;
    for (let epoch = 1; epoch <= options.epochs; epoch++) {
      for (const window of split.training) {
        watch.signal.throwIfAborted();
        feed(window);
        device.run(unit.step);
        for (const { optimizer, lr } of optimizers) optimizer.step(step, lr);
        step++;
        await device.settle(); // writes of many windows would pile up in memory
        watch.trained();
      }
      await setImmediate(); // lets a signal handler run where the device never waits
      const now = await evaluate(device, unit, feed, split.heldOut);
      if (!Number.isFinite(now.objective)) {
        throw new UserError(
          `Training of ${unit.name} diverged in epoch ${epoch}: its error is ${now.objective}; set ` +
            `init.lr below ${options.lr} or init.clip_lr below ${options.clip_lr}`,
        );
      }
      if (now.objective >= least.objective) continue;
      least = now;
      epochOfLeast = epoch;
      best.keep();
    }
    best.restore();
    await device.settle();
    const share = ({ error }: Errors) => error === 0 ? 0 : error / square;
    return { before: share(before), after: share(least), epoch: epochOfLeast };
  } finally {
    best.release();
    for (const { optimizer } of optimizers) optimizer.release();
  }
}

/** What {@linkcode reconstruct} allocates besides copies of the values that train. */
export function allocateOptimizers(
  device: Device,
  { clips, factors }: Pick<ReconstructionUnit, "clips" | "factors">,
  { clip_lr, lr, weight_decay }: ReconstructionOptions,
): { readonly optimizer: AdamW; readonly lr: number }[] {
  return [{ space: clips, lr: clip_lr }, { space: factors, lr }]
    .filter(({ space }) => space.slabs.length > 0)
    .map(({ space, lr }) => ({
      lr,
      optimizer: new AdamW(
        device,
        space.slabs,
        { name: "adamw", lr, betas: [0.9, 0.999], epsilon: 1e-8, weight_decay },
        null,
      ),
    }));
}

interface Errors {
  /** The sum of the terms. */
  readonly objective: number;
  /** The sum of those with the full-precision model. */
  readonly error: number;
}

async function evaluate(
  device: Device,
  unit: ReconstructionUnit,
  feed: (window: number) => void,
  windows: readonly number[],
): Promise<Errors> {
  let objective = 0;
  let error = 0;
  for (const window of windows) {
    feed(window);
    device.run(unit.evaluate);
    for (const { losses, target, isReference } of unit.terms) {
      const term = sum(await device.readFloats(losses)) / target.size / windows.length;
      objective += term;
      if (isReference) error += term;
    }
  }
  return { objective, error };
}

/** Mean squares of the full-precision outputs, summed as the errors are. */
async function targetSquare(
  device: Device,
  unit: ReconstructionUnit,
  feed: (window: number) => void,
  windows: readonly number[],
): Promise<number> {
  let square = 0;
  for (const window of windows) {
    feed(window);
    device.run(unit.evaluate);
    for (const { target, isReference } of unit.terms) {
      if (!isReference) continue;
      const values = await device.readFloats(target);
      square += sum(values.map((value) => value ** 2)) / target.size / windows.length;
    }
  }
  return square;
}

function sum(values: Float32Array | Float64Array): number {
  let total = 0;
  for (const value of values) total += value;
  return total;
}
