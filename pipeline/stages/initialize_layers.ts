/**
 * The work of `initialize`, layer by layer: what an initializer asks for, and what it leaves.
 *
 * @module
 */

import { join } from "node:path";
import type { HostModule } from "../adapters/adapter.ts";
import type { AdapterShape } from "../adapters/plan.ts";
import type { LayerCalibration } from "../calibration/layer_calibration.ts";
import type { NeedsOf } from "../calibration/block_pass.ts";
import type { CalibrationOptions } from "../calibration/options.ts";
import { collectGarbage } from "../environment/garbage.ts";
import { UserError } from "../errors.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { StageContext, StageOutcome } from "../graph/stage.ts";
import type { CalibratedError } from "../initializers/initializer.ts";
import { withError } from "../initializers/pooled_error.ts";
import {
  initializerFor,
  type InitializerParameters,
  type LayerInitializerParameters,
  trainsModel,
} from "../initializers/registry.ts";
import type { LinearShape } from "../models/architecture.ts";
import type { ModelFolder } from "../models/model_folder.ts";
import { jointNeeds, MEASURED, runCalibration } from "./calibration_run.ts";
import { type ChosenQuantizer, openOriginal, quantizerOfBase } from "./original_model.ts";
import { OwnBase } from "./own_base.ts";

/** File with the calibrated error of every layer, in an artifact. */
export const ERRORS_FILE = "calibrated_errors.json";

/** The adapter to place on each target, by path. */
export type TargetShapes = ReadonlyMap<
  string,
  { readonly linear: LinearShape; readonly shape: AdapterShape }
>;

/** An initialized adapter. */
export interface InitializedLayers extends StageOutcome {
  /** By path of the linear layer. */
  readonly modules: ReadonlyMap<string, HostModule>;
  /** Whether the folder of the stage has a base of its own. */
  readonly ownBase: boolean;
}

/** What a method wants to see of each layer's inputs, if the stage has a `calibration:`. */
export function initializerNeeds(
  method: InitializerParameters,
  quantizer: ChosenQuantizer | null,
  targets: TargetShapes,
): NeedsOf {
  const needs = jointNeeds([
    MEASURED,
    trainsModel(method) ? null : initializerFor(method).calibration?.(method),
    quantizer?.method.calibration?.(quantizer.parameters),
  ]);
  return ({ path }) => targets.has(path) ? needs : null;
}

/**
 * Runs an initializer on all targets.
 *
 * @throws {UserError} If something that it asks for cannot be had.
 */
export async function initializeLayers(
  context: StageContext<{ readonly calibration?: CalibrationOptions | undefined }>,
  method: LayerInitializerParameters,
  targets: TargetShapes,
  base: ModelFolder,
): Promise<InitializedLayers> {
  const { parameters: { calibration }, upstream, folder } = context;
  const initializer = initializerFor(method);
  const quantizer = quantizerOfBase(upstream);
  const modules = new Map<string, HostModule>();
  const errors = new Map<string, CalibratedError>();
  using ownBase = new OwnBase(folder, base);
  using original = initializer.needsOriginal || calibration !== undefined
    ? await openOriginal(context, base)
    : null;

  const visit = async (linear: LinearShape, seen?: LayerCalibration): Promise<void> => {
    const target = targets.get(linear.path);
    if (target === undefined) return;
    context.signal.throwIfAborted();
    collectGarbage();
    context.report({
      activity: `initializing ${linear.path}`,
      done: modules.size,
      total: targets.size,
    });
    const layer = {
      ...target,
      seed: context.seed,
      original: original === null ? null : readDense(original, linear),
      base: await base.weight(linear),
      calibration: seen ?? null,
      requantize: requantizer(context, quantizer, linear, seen),
    };
    const result = initializer.initialize(layer, method);
    modules.set(linear.path, result.module);
    if (result.base !== undefined) ownBase.put(linear, result.base);
    for (const remark of result.remarks ?? []) context.remark(`${linear.path}: ${remark}`);
    const { error } = result.error === undefined ? withError(layer, result) : result;
    if (error !== undefined) errors.set(linear.path, error);
  };

  let facts: StageOutcome["facts"] = {};
  if (calibration === undefined) {
    for (const { linear } of targets.values()) await visit(linear);
  } else {
    facts = await runCalibration(context, calibration, {
      source: calibration.activations === "full" && original !== null ? original : base,
      needs: initializerNeeds(method, quantizer, targets),
      visit,
    });
  }
  return {
    modules,
    ownBase: await ownBase.finish(),
    metrics: await writeErrors(folder, errors),
    facts,
  };
}

/** A dense weight of a model. */
export function readDense(model: ModelFolder, linear: LinearShape): Float32Array {
  const values = new Float32Array(linear.rows * linear.columns);
  model.readWeight(linear, values);
  return values;
}

/** Quantizes as the base was, without preprocessing: methods hand over weights that are no model's. */
function requantizer(
  { remark, input }: StageContext<unknown>,
  quantizer: ChosenQuantizer | null,
  { path, rows, columns }: LinearShape,
  seen: LayerCalibration | undefined,
): ((weights: Float32Array) => HostWeight) | null {
  if (quantizer === null) return null;
  const { method, parameters } = quantizer;
  return (weights) => {
    if (seen === undefined && (method.calibration?.(parameters) ?? null) !== null) {
      throw new UserError(
        `"${input?.node}" is quantized with ${method.name}, which looks at the inputs of layers, ` +
          "also when it quantizes again; add `calibration: { data: { text: path/to/text } }` to " +
          "the initialize stage",
      );
    }
    return method.quantize(weights, rows, columns, parameters, path, seen, remark);
  };
}

/** Writes the calibrated errors of an artifact, by path; the result is their means over layers. */
export async function writeErrors(
  folder: string,
  errors: ReadonlyMap<string, CalibratedError>,
): Promise<StageOutcome["metrics"]> {
  if (errors.size === 0) return {};
  await Deno.writeTextFile(
    join(folder, ERRORS_FILE),
    JSON.stringify(Object.fromEntries(errors), null, 2) + "\n",
  );
  const mean = (key: keyof CalibratedError) => ({
    value: [...errors.values()].reduce((sum, error) => sum + error[key], 0) / errors.size,
    protocol: "mean over layers",
  });
  return { calibrated_error: mean("after"), calibrated_error_before: mean("before") };
}
