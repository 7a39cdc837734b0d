/**
 * What an initializer is that trains the adapters of a whole model together, on the device, instead of
 * filling one layer after the other.
 *
 * @module
 */

import type { z } from "zod";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { Device } from "../../kernels/device.ts";
import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { HiddenStates } from "../calibration/hidden_states.ts";
import type { CalibrationShape } from "../calibration/options.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { Progress } from "../graph/stage.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { ModelOutline, ModelSource } from "../models/language_model.ts";

/** A layer and the adapter to make for it. */
export interface AdapterTarget {
  /** The layer. */
  readonly linear: LinearShape;
  /** Shapes and scale of its adapter. */
  readonly shape: AdapterShape;
}

/** All targets by path of the linear layer. */
export type AdapterTargets = ReadonlyMap<string, AdapterTarget>;

/** What such a method works with, while it is only planned: no value is read. */
export interface PlannedInitialization {
  /** The model before it was quantized; every layer is dense. */
  readonly original: ModelOutline;
  /** The model that the adapters will be trained on. */
  readonly base: ModelOutline;
  /** The adapters to make. */
  readonly targets: AdapterTargets;
  /** Windows of calibration text; one at a time is on the device, whatever `batchSize` says. */
  readonly shape: CalibrationShape;
}

/** What such a method works with. */
export interface ModelInitialization extends PlannedInitialization {
  /** Computes. */
  readonly device: Device;
  /** With its values. */
  readonly original: ModelSource;
  /** With its values. */
  readonly base: ModelSource;
  /** `[samples, length]` token ids. */
  readonly windows: Uint32Array;
  /** Draws are keyed by it and the path of a layer. */
  readonly seed: number;
  /** Makes a file of `size` values a window, which the method disposes of. */
  scratch(name: string, size: number): HiddenStates;
  /** Ends the method between two steps. */
  readonly signal: AbortSignal;
  /** Called after every step. */
  report(progress: Progress): void;
  /** Called with lines that stay. */
  log(line: string): void;
  /** Takes the weight that replaces the base's, in the base's format; every layer at most once. */
  replaceBase(linear: LinearShape, weight: HostWeight): void;
}

/** What such a method leaves, besides weights that replace the base's. */
export interface InitializedModel {
  /** A module for every target, by path. */
  readonly modules: ReadonlyMap<string, HostModule>;
  /** The objective on calibration windows that were not trained on, and what became of it. */
  readonly facts: Readonly<Record<string, number>>;
}

/** A method that trains the adapters of a model before the task is trained. */
export interface ModelInitializer<Parameters extends { readonly method: string }> {
  /** The value of `init: { method }`, or of `init` alone, in the experiment file. */
  readonly name: Parameters["method"];
  /** One line for the documentation and the JSON Schema. */
  readonly summary: string;
  /** A strict zod object whose `method` is the literal `name`; all other keys have defaults. */
  readonly parameters: z.ZodType<Parameters> & z.core.$ZodTypeDiscriminable;
  /**
   * Trains the adapters.
   *
   * @throws {UserError} If the method is not defined on this base or these windows, if training
   * diverges, or if the model's outputs are not finite.
   * @throws `signal.reason` if aborted.
   */
  initializeModel(run: ModelInitialization, parameters: Parameters): Promise<InitializedModel>;
  /** Makes the allocations of `initializeModel` at their largest. */
  rehearse(device: CountingDevice, plan: PlannedInitialization, parameters: Parameters): void;
}
