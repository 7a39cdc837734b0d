// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Losses of single tokens under a model, for evaluation.
 *
 * @module
 */

import type { Tensor } from "../../kernels/device.ts";
import type { Example } from "../data/dataset.ts";
import { countTargets, writeRows } from "./batch.ts";
import type { Trainable } from "./trainable.ts";

/** Elements of the tensor that collects losses, so that many batches share one readback. */
const COLLECTED_ELEMENTS = 1 << 16;

/** Called after every readback with the number of rows scored so far. */
export type ScoreProgress = (rowsDone: number) => void;

const COLLECTION = "token losses";

function collectedBatches(batchElements: number): number {
  return Math.max(1, Math.floor(COLLECTED_ELEMENTS / batchElements));
}

/** What {@linkcode scoreRows} allocates for many rows; to be freed by the caller. */
export function allocateScores({ device, batchSize, length }: Trainable): Tensor {
  const batchElements = batchSize * length;
  return device.tensor("f32", [collectedBatches(batchElements) * batchElements], COLLECTION);
}

/**
 * `-log p` of every target of every row, given the tokens before it in the row: entry `t` of a
 * row's result belongs to its token `t` and is 0 where that is no target.
 *
 * Rows are padded on the right and scored `batchSize` at a time.
 *
 * @throws {RangeError} If a row is longer than the model is set up for.
 */
export async function scoreRows(
  trainable: Trainable,
  rows: readonly Example[],
  progress?: ScoreProgress,
): Promise<Float64Array[]> {
  const { device, batchSize, length } = trainable;
  const batchElements = batchSize * length;
  const batches = Math.ceil(rows.length / batchSize);
  const collected = Math.max(1, Math.min(batches, collectedBatches(batchElements)));
  const collection = device.tensor("f32", [collected * batchElements], COLLECTION);
  const scores: Float64Array[] = [];
  try {
    for (let first = 0; first < batches; first += collected) {
      const count = Math.min(collected, batches - first);
      for (let batch = 0; batch < count; batch++) {
        const start = (first + batch) * batchSize;
        writeRows(trainable, rows.slice(start, start + batchSize), 1);
        device.run(trainable.forward);
        device.copy(trainable.losses, 0, collection, batch * batchElements, batchElements);
      }
      const losses = await device.readFloats(collection);
      const group = rows.slice(first * batchSize, (first + count) * batchSize);
      group.forEach((row, index) => {
        const score = new Float64Array(row.tokens.length);
        for (let position = 1; position < score.length; position++) {
          if (row.targets[position] === 1) score[position] = losses[index * length + position - 1]!;
        }
        scores.push(score);
      });
      progress?.(scores.length);
    }
  } finally {
    device.free(collection);
  }
  return scores;
}

/** Mean loss over all targets of some rows; NaN if there is none. */
export async function meanLoss(trainable: Trainable, rows: readonly Example[]): Promise<number> {
  const scores = await scoreRows(trainable, rows);
  let sum = 0;
  for (const score of scores) for (const loss of score) sum += loss;
  return sum / countTargets(rows);
}
