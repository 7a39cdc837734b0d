/**
 * `train`: fine-tunes an adapter, or, with the form `full`, the model itself.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { writeAdapter } from "../adapters/adapter.ts";
import { readBackAdapter } from "../adapters/placement.ts";
import type { Stage } from "../graph/stage.ts";
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

const parameters = z.strictObject(trainingParameters);

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
  memorySettings: trainingMemorySettings,
  // deno-lint-ignore require-await -- other stages read files here
  async forecast({ parameters, input }) {
    const before = inputOutline(input);
    const subject = { source: before.model, adapter: before.adapter };
    return {
      outline: { ...before, probeLength: parameters.length },
      rehearse: (device) => rehearseTraining(device, subject, parameters),
    };
  },
  async run(context) {
    const { input, folder } = context;
    if (input === null) throw new RangeError("train needs an adapter");
    using trained = await openTrainedModel(context, input);
    const { adapter } = trained;
    return await runTraining(
      context,
      { source: trained.model, adapter, tokenizerFolder: trained.model.folder },
      async (model) => {
        if (adapter !== null) {
          await writeAdapter(folder, await readBackAdapter(model, adapter));
          return;
        }
        await Deno.mkdir(join(folder, FULL_FOLDER));
        await writeTrainedWeights(join(folder, FULL_FOLDER), model, trained.model.folder);
        await Deno.copyFile(join(input.folder, FULL_FILE), join(folder, FULL_FILE));
      },
    );
  },
};
