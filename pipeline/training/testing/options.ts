/**
 * Training options for tests.
 *
 * @module
 */

import { z } from "zod";
import { type TrainingOptions, trainingShape } from "../options.ts";

/** Options of a short run that uses every setting, with some replaced. */
export function optionsOf(changes: Partial<TrainingOptions>): TrainingOptions {
  return {
    ...z.strictObject(trainingShape).parse({
      steps: 12,
      batch_size: 3,
      length: 6,
      optimizer: { lr: 0.05, weight_decay: 0.1 },
      schedule: { name: "cosine", warmup_steps: 2, minimum_ratio: 0.1 },
      clip: 0.5,
    }),
    ...changes,
  };
}
