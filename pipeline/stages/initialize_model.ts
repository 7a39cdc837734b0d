/**
 * The work of `initialize` for methods that train the adapters of a model together.
 *
 * @module
 */

import { join } from "node:path";
import type { HostModule } from "../adapters/adapter.ts";
import { HiddenStates } from "../calibration/hidden_states.ts";
import type { CalibrationOptions } from "../calibration/options.ts";
import { UserError } from "../errors.ts";
import type { StageContext } from "../graph/stage.ts";
import type { CalibratedError } from "../initializers/initializer.ts";
import { withError } from "../initializers/pooled_error.ts";
import { modelInitializerFor, type ModelInitializerParameters } from "../initializers/registry.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { readStageWindows, runCalibration } from "./calibration_run.ts";
import {
  type InitializedLayers,
  initializerNeeds,
  readDense,
  type TargetShapes,
  writeErrors,
} from "./initialize_layers.ts";
import { openOriginal } from "./original_model.ts";
import { BASE_FOLDER, OwnBase } from "./own_base.ts";

/** The context of a stage with a `calibration:`. */
type Context = StageContext<{ readonly calibration?: CalibrationOptions | undefined }>;

/**
 * Runs such a method, and measures the calibrated error of what it leaves as that of all others is.
 *
 * @throws {UserError} If something that it asks for cannot be had.
 */
export async function initializeModel(
  context: Context,
  method: ModelInitializerParameters,
  targets: TargetShapes,
  base: ModelFolder,
): Promise<InitializedLayers> {
  const { parameters: { calibration }, folder, seed, signal } = context;
  if (calibration === undefined) {
    throw new UserError(
      `${method.method} trains on text; add \`calibration: { data: { text: path/to/text } }\``,
    );
  }
  using ownBase = new OwnBase(folder, base);
  using original = await openOriginal(context, base);
  const device = await context.device();
  const { modules, facts } = await modelInitializerFor(method).initializeModel(
    {
      device,
      original,
      base,
      targets,
      ...await readStageWindows(context, calibration, base),
      seed,
      scratch: (name, size) => new HiddenStates(join(folder, `${name}.tmp`), device, size),
      signal,
      report: (progress) => context.report(progress),
      log: (line) => context.log(line),
      replaceBase: (linear, weight) => ownBase.put(linear, weight),
    },
    method,
  );
  const hasOwnBase = await ownBase.finish();
  const measured = await measure(context, calibration, {
    method,
    targets,
    base,
    original,
    modules,
    hasOwnBase,
  });
  return {
    modules,
    ownBase: hasOwnBase,
    metrics: measured.metrics,
    facts: { ...measured.facts, ...facts },
  };
}

interface Trained {
  readonly method: ModelInitializerParameters;
  readonly targets: TargetShapes;
  readonly base: ModelFolder;
  readonly original: ModelFolder;
  readonly modules: ReadonlyMap<string, HostModule>;
  readonly hasOwnBase: boolean;
}

async function measure(
  context: Context,
  calibration: CalibrationOptions,
  { method, targets, base, original, modules, hasOwnBase }: Trained,
) {
  const { folder, seed } = context;
  const errors = new Map<string, CalibratedError>();
  using after = hasOwnBase ? ModelFolder.open(join(folder, BASE_FOLDER)) : null;
  const facts = await runCalibration(context, calibration, {
    source: calibration.activations === "full" ? original : base,
    needs: initializerNeeds(method, null, targets),
    visit: async (linear, seen) => {
      const [target, module] = [targets.get(linear.path), modules.get(linear.path)];
      if (target === undefined || module === undefined) return;
      const layer = {
        ...target,
        seed,
        original: readDense(original, linear),
        base: await base.weight(linear),
        calibration: seen ?? null,
        requantize: null,
      };
      const result = after === null ? { module } : { module, base: await after.weight(linear) };
      const { error } = withError(layer, result);
      if (error !== undefined) errors.set(linear.path, error);
    },
  });
  return { facts, metrics: await writeErrors(folder, errors) };
}
