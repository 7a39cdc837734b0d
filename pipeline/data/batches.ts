/**
 * Which rows make which batch: a function of the step alone, so that training continues after an
 * interruption without replaying anything.
 *
 * @module
 */

import { RandomStream } from "../../kernels/random.ts";
import type { Dataset, Example } from "./dataset.ts";

/** Which batch of which order. */
export interface BatchOptions {
  /** Rows of a batch. */
  readonly batchSize: number;
  /** Keys the order of rows, together with the epoch. */
  readonly seed: number;
  /** Whether every epoch has an order of its own; otherwise all have the dataset's. */
  readonly shuffle: boolean;
  /** Number of the batch, from 0. */
  readonly step: number;
}

/**
 * The rows of batch `step`. Epochs follow each other without a gap: where a dataset is no multiple
 * of the batch size, the last batch of an epoch is filled with the first rows of the next.
 *
 * @throws {RangeError} If the dataset is empty.
 *
 * @example
 * ```ts
 * import { batchAt } from "./batches.ts";
 * import { TextWindows } from "./text_windows.ts";
 *
 * const dataset = new TextWindows(Uint32Array.of(1, 2, 3, 4, 5, 6), 2);
 * const batch = batchAt(dataset, { batchSize: 2, seed: 1, shuffle: false, step: 1 });
 * const rows = batch.map(({ tokens }) => tokens.join(" "));
 * if (rows.join(", ") !== "5 6, 1 2") throw new Error("row 2, then row 0 again");
 * ```
 */
export function batchAt(dataset: Dataset, options: BatchOptions): Example[] {
  const { batchSize, seed, shuffle, step } = options;
  const { size } = dataset;
  if (size === 0) throw new RangeError("Cannot make a batch of an empty dataset");
  return Array.from({ length: batchSize }, (_, row) => {
    const position = step * batchSize + row;
    const index = position % size;
    if (!shuffle) return dataset.example(index);
    const order = epochOrder(dataset, seed, Math.floor(position / size));
    return dataset.example(order[index] as number);
  });
}

/** The order of the last epoch that was asked for: steps mostly ask for the same one again. */
const lastOrders = new WeakMap<Dataset, { seed: number; epoch: number; order: Uint32Array }>();

function epochOrder(dataset: Dataset, seed: number, epoch: number): Uint32Array {
  const last = lastOrders.get(dataset);
  if (last?.seed === seed && last.epoch === epoch) return last.order;
  const order = new RandomStream(seed, "shuffle", epoch).permutation(dataset.size);
  lastOrders.set(dataset, { seed, epoch, order });
  return order;
}
