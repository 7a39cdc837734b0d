/**
 * Trains the bigram model in a process of its own, for tests that kill it:
 * `train_bigram.ts FOLDER STEPS READS` continues what is in FOLDER, and when the data has been read
 * READS times prints a line and waits to be killed.
 *
 * @module
 */

import { ReferenceDevice } from "../../../kernels/reference/device.ts";
import { train, type TrainingResult } from "../loop.ts";
import { bigram, randomRows } from "./bigram.ts";
import { optionsOf } from "./options.ts";

/** Trains with 6 rows a step and a checkpoint every 7 steps. */
export async function trainBigram(
  folder: string,
  steps: number,
  hangAfterReads = Infinity,
): Promise<{ readonly result: TrainingResult; readonly parameters: readonly number[] }> {
  const device = new ReferenceDevice();
  const trainable = bigram(device, 3, 6);
  const rows = randomRows(21);
  let reads = 0;
  const result = await train({
    trainable,
    dataset: {
      ...rows,
      example(index) {
        if (++reads === hangAfterReads) {
          console.log("waiting");
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
        }
        return rows.example(index);
      },
    },
    options: optionsOf({ steps, checkpoint_every: 7, log_every: 3, accumulate: 2 }),
    seed: 3,
    checkpointFolder: folder,
    signal: new AbortController().signal,
    report: () => {},
    log: () => {},
  });
  const values = await Promise.all(
    trainable.slabs.map(({ parameters }) => device.readFloats(parameters)),
  );
  return { result, parameters: values.flatMap((slab) => [...slab]) };
}

if (import.meta.main) {
  const [folder, steps, reads] = Deno.args as [string, string, string];
  await trainBigram(folder, Number(steps), Number(reads));
}
