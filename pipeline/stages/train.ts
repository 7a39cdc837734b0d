/**
 * `train`: fine-tunes an adapter, or, with the form `full`, the model itself.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { writeAdapter } from "../adapters/adapter.ts";
import type { Stage } from "../graph/stage.ts";
import { checkTrainingOptions } from "../training/options.ts";
import { XGBLORA } from "../training/xgblora.ts";
import { boostedOutline, checkScheme } from "./boosting.ts";
import { writeTrainedWeights } from "./full_training.ts";
import { FULL_FILE, FULL_FOLDER, openTrainedModel } from "./trained_model.ts";
import { inputOutline } from "./outline.ts";
import {
  incidentalTrainingParameters,
  rehearseTraining,
  runTraining,
  trainingMemorySettings,
  trainingParameters,
  trainingSources,
} from "./training_run.ts";

const parameters = z.strictObject({
  ...trainingParameters,
  scheme: XGBLORA.optional().describe(
    "Gradient boosting (XGBLoRA, a reconstruction): in every round, boosters of the adapter's shape on " +
      "randomly drawn blocks, merged when it ends; default: one adapter, trained in all steps.",
  ),
});

/** Parameters of {@linkcode train}. */
export type TrainParameters = z.output<typeof parameters>;

/** See the module documentation. */
export const train: Stage<TrainParameters> = {
  name: "train",
  version: 1,
  summary: "Train an adapter, or all weights of a full-precision model",
  parameters,
  accepts: ["adapter"],
  produces: "adapter",
  dependsOn: () => ({ seed: true, device: true }),
  incidental: incidentalTrainingParameters,
  sources: trainingSources,
  check: (parameters, upstream) => [
    ...checkTrainingOptions(parameters),
    ...checkScheme(parameters.scheme, parameters.steps, upstream),
  ],
  memorySettings: trainingMemorySettings,
  // deno-lint-ignore require-await -- other stages read files here
  async forecast({ parameters, input }) {
    const before = inputOutline(input);
    const { adapter, model } = before;
    const { scheme } = parameters;
    const trained = adapter === null ? null : boostedOutline(adapter, scheme);
    return {
      outline: { ...before, adapter: trained, probeLength: parameters.length },
      rehearse: (device) =>
        rehearseTraining(device, { source: model, adapter, scheme }, parameters),
    };
  },
  async run(context) {
    const { input, folder } = context;
    if (input === null) throw new RangeError("train needs an adapter");
    using trained = await openTrainedModel(context, input);
    const { adapter, model: source } = trained;
    const { scheme } = context.parameters;
    return await runTraining(
      context,
      { source, adapter, scheme, tokenizerFolder: source.folder },
      async (model, result) => {
        if (result !== null) {
          const { description, modules } = result;
          // A base that came with the adapter stays where it is.
          const base = description.base ?? input.key;
          await writeAdapter(folder, { description: { ...description, base }, modules });
          return;
        }
        await Deno.mkdir(join(folder, FULL_FOLDER));
        await writeTrainedWeights(join(folder, FULL_FOLDER), model, source.folder);
        await Deno.copyFile(join(input.folder, FULL_FILE), join(folder, FULL_FILE));
      },
    );
  },
};
