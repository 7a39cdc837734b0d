/**
 * Training curves of a run for TensorBoard: `tensorboard/<node>-<key>/events.out.tfevents.*`, one
 * folder for each stage that trained, now or in an earlier run.
 *
 * @module
 */

import { join } from "node:path";
import { statOrNull } from "../formats/files.ts";
import type { StepRecord } from "../training/history.ts";
import { encodeEventFile, type ScalarEvent } from "./tensorboard_events.ts";
import type { TrainingHistory } from "./training_history.ts";

/** Writes the event files of a run that are not there yet; a key's history never changes. */
export async function writeTensorboard(
  runFolder: string,
  histories: readonly TrainingHistory[],
): Promise<void> {
  for (const { key, node, result, steps } of histories) {
    const finished = Date.parse(result.created) / 1000;
    const started = finished - result.seconds;
    const folder = join(runFolder, "tensorboard", `${node}-${key.slice(0, 8)}`);
    // TensorBoard looks for "tfevents" in the name and reads files in the order of their names.
    const path = join(folder, `events.out.tfevents.${Math.floor(started)}.${key.slice(0, 8)}`);
    if (statOrNull(path) !== null) continue;
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeFile(
      `${path}.tmp`,
      encodeEventFile(started, eventsOf(steps, started, finished)),
    );
    await Deno.rename(`${path}.tmp`, path);
  }
}

/** Steps have no times of their own: they are spread evenly over the time of the stage. */
function eventsOf(
  steps: readonly StepRecord[],
  started: number,
  finished: number,
): ScalarEvent[] {
  return steps.map(({ step, loss, lr, grad_norm, evaluation_loss }) => ({
    wallTime: started + (finished - started) * (step / steps.length),
    step,
    scalars: {
      loss,
      learning_rate: lr,
      gradient_norm: grad_norm,
      ...(evaluation_loss === undefined ? {} : { evaluation_loss }),
    },
  }));
}
