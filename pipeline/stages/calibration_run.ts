/**
 * Calibration inside a stage: from the `calibration:` of its parameters to what methods see.
 *
 * @module
 */

import { join } from "node:path";
import { calibrate, type CalibrationRun } from "../calibration/calibrate.ts";
import type { CalibrationNeeds } from "../calibration/layer_calibration.ts";
import {
  type CalibrationOptions,
  type CalibrationShape,
  calibrationShape,
} from "../calibration/options.ts";
import { readWindows } from "../calibration/windows.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import type { StageContext } from "../graph/stage.ts";
import { modelLinears } from "../models/architecture.ts";
import type { ModelFolder } from "../models/model_folder.ts";

/** Hidden states between two blocks, while a stage runs. */
const SCRATCH_FILE = "hidden_states.tmp";

/** What every calibrated stage reads: the error of a layer's outputs is measured for every method. */
export const MEASURED: CalibrationNeeds = { gram: true, sample: false };

/** What a stage adds to its `calibration:`. */
export interface StageCalibration extends Pick<CalibrationRun, "needs" | "visit" | "replace"> {
  /** The model that reads the text. */
  readonly source: ModelFolder;
}

/** Windows of calibration text for one model. */
export interface StageWindows {
  /** Of the windows. */
  readonly shape: CalibrationShape;
  /** `[samples, length]` token ids. */
  readonly windows: Uint32Array;
}

/** Reads the text of a `calibration:` with the tokenizer of a model. */
export async function readStageWindows(
  context: StageContext<unknown>,
  options: CalibrationOptions,
  source: ModelFolder,
): Promise<StageWindows> {
  context.report({ activity: "reading calibration text" });
  const shape = calibrationShape(options, source.config);
  const windows = await readWindows(
    options,
    shape,
    Tokenizer.open(source.folder, source.config.vocabSize),
    options.seed ?? context.seed,
    (reference) => context.resolve({ reference, path: "calibration.data" }),
  );
  return { shape, windows };
}

/** Runs calibration; the result is facts about it for the manifest. */
export async function runCalibration(
  context: StageContext<unknown>,
  options: CalibrationOptions,
  { source, ...run }: StageCalibration,
): Promise<Record<string, number>> {
  const { windows, shape } = await readStageWindows(context, options, source);
  const layers = modelLinears(source.config).filter(run.needs);
  const widest = Math.max(0, ...layers.map(({ columns }) => columns));
  if (windows.length < widest) {
    context.remark(
      `Calibration has ${windows.length} tokens (${shape.samples} windows of ${shape.length}), ` +
        `fewer than the ${widest} inputs of the widest layer: Gram matrices are singular, and ` +
        `methods rely on damping; more samples calibrate better`,
    );
  }
  const { gramError } = await calibrate({
    ...run,
    source,
    device: await context.device(),
    windows,
    shape,
    scratch: join(context.folder, SCRATCH_FILE),
    signal: context.signal,
    report: (done) =>
      context.report({
        activity: `calibrating block ${done}`,
        done,
        total: source.config.layers,
      }),
  });
  return { calibration_tokens: windows.length, gram_probe_error: gramError };
}

/** What several methods that share a layer need of its inputs; null if none needs anything. */
export function jointNeeds(
  needs: readonly (CalibrationNeeds | null | undefined)[],
): CalibrationNeeds | null {
  const stated = needs.filter((need) => need !== null && need !== undefined);
  if (stated.length === 0) return null;
  return {
    gram: stated.some(({ gram }) => gram),
    sample: stated.some(({ sample }) => sample),
  };
}
