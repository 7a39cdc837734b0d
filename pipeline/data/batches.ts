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
  /**
   * Shuffled rows are put in order so that this many that follow each other, those of a training step,
   * are of similar length, see {@linkcode groupByLength}. Default: they are not.
   */
  readonly groupRows?: number;
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
  const { batchSize, shuffle, step } = options;
  const { size } = dataset;
  if (size === 0) throw new RangeError("Cannot make a batch of an empty dataset");
  return Array.from({ length: batchSize }, (_, row) => {
    const position = step * batchSize + row;
    const index = position % size;
    if (!shuffle) return dataset.example(index);
    const order = epochOrder(dataset, options, Math.floor(position / size));
    return dataset.example(order[index] as number);
  });
}

/** What decides the order of an epoch. */
interface OrderKey {
  readonly seed: number;
  readonly groupRows?: number | undefined;
  readonly epoch: number;
}

/** The order of the last epoch that was asked for: steps mostly ask for the same one again. */
const lastOrders = new WeakMap<Dataset, OrderKey & { readonly order: Uint32Array }>();

function epochOrder(
  dataset: Dataset,
  { seed, groupRows }: BatchOptions,
  epoch: number,
): Uint32Array {
  const last = lastOrders.get(dataset);
  if (last?.seed === seed && last.groupRows === groupRows && last.epoch === epoch) {
    return last.order;
  }
  const shuffled = new RandomStream(seed, "shuffle", epoch).permutation(dataset.size);
  const order = groupRows === undefined
    ? shuffled
    : groupByLength(shuffled, lengthsOf(dataset), groupRows);
  lastOrders.set(dataset, { seed, groupRows, epoch, order });
  return order;
}

const knownLengths = new WeakMap<Dataset, Uint32Array>();

function lengthsOf(dataset: Dataset): Uint32Array {
  const known = knownLengths.get(dataset);
  if (known !== undefined) return known;
  const lengths = Uint32Array.from(
    { length: dataset.size },
    (_, index) => dataset.example(index).tokens.length,
  );
  knownLengths.set(dataset, lengths);
  return lengths;
}

/** Steps whose rows are sorted together, at most. */
const SORTED_STEPS = 50;

/**
 * Puts rows in order so that each step gets rows of similar length, as the LengthGroupedSampler of
 * Hugging Face's transformers does: what was shuffled is cut into pieces of the rows of up to 50 steps
 * (fewer where a dataset would have less than four pieces), each piece is sorted, longest first, and the
 * longest row of all comes first, so that memory that does not suffice shows at once.
 *
 * @param shuffled Indices of rows.
 * @param lengths Tokens of each row.
 * @param groupRows Rows of a step.
 *
 * @example
 * ```ts
 * import { groupByLength } from "./batches.ts";
 *
 * const order = groupByLength(Uint32Array.of(0, 1, 2, 3), Uint32Array.of(5, 9, 2, 7), 4);
 * if (`${order}` !== "1,3,0,2") throw new Error("one piece, longest first");
 * ```
 */
export function groupByLength(
  shuffled: Uint32Array,
  lengths: Uint32Array,
  groupRows: number,
): Uint32Array {
  const steps = Math.max(1, Math.min(Math.floor(shuffled.length / (4 * groupRows)), SORTED_STEPS));
  const piece = steps * groupRows;
  const lengthOf = (index: number | undefined) => lengths[index ?? 0] ?? 0;
  const order: number[] = [];
  let longest = 0;
  for (let first = 0; first < shuffled.length; first += piece) {
    const sorted = [...shuffled.subarray(first, first + piece)]
      .sort((left, right) => lengthOf(right) - lengthOf(left));
    if (lengthOf(sorted[0]) > lengthOf(order[longest])) longest = first;
    order.push(...sorted);
  }
  const [front = 0, most = 0] = [order[0], order[longest]];
  order[longest] = front;
  order[0] = most;
  return Uint32Array.from(order);
}
