/**
 * Packing: several examples share a row, so that little of it is padding. Models keep them apart, each
 * with positions from 0 and attention to its own tokens.
 *
 * @module
 */

import type { Dataset, Example } from "./dataset.ts";

/**
 * Another dataset with its examples packed into rows: each in one row, whole. They are placed by
 * best-fit decreasing (Johnson 1974), longest first into the row that they leave the least room in: it
 * never needs more than 11/9 of the fewest rows possible plus a few, and on instructions fills nearly
 * every row, where filling one row after the other in the data's order leaves half an example's room
 * in each. It makes the same rows for any seed; seeds order them. Within a row examples keep the data's
 * order, and rows follow each other by their first example.
 *
 * @example
 * ```ts
 * import { PackedRows } from "./packed_rows.ts";
 *
 * const lengths = [3, 2, 5, 4];
 * const rows = new PackedRows({
 *   size: 4,
 *   length: 7,
 *   tokens: 14,
 *   example: (index) => ({
 *     tokens: new Uint32Array(lengths[index] ?? 0).fill(index),
 *     targets: new Uint8Array(lengths[index] ?? 0).fill(1, 1),
 *   }),
 * });
 * const { tokens, targets, starts } = rows.example(1);
 * if (rows.size !== 2) throw new Error("3 + 4 and 2 + 5");
 * if (`${tokens} ${targets} ${starts}` !== "1,1,2,2,2,2,2 0,1,0,1,1,1,1 0,2") throw new Error();
 * ```
 */
export class PackedRows implements Dataset {
  /** Number of rows. */
  readonly size: number;
  /** Tokens that a row has room for. */
  readonly length: number;
  /** Tokens in all rows together. */
  readonly tokens: number;
  /** Those of the dataset, and how full the rows are. */
  readonly remarks: readonly string[];
  readonly #dataset: Dataset;
  readonly #rows: readonly (readonly number[])[];

  /**
   * Packs into rows of the dataset's `length`.
   *
   * @throws {RangeError} If an example is longer than a row.
   */
  constructor(dataset: Dataset) {
    const { length, size, tokens } = dataset;
    const rows = packLengths(
      Array.from({ length: size }, (_, index) => dataset.example(index).tokens.length),
      length,
    );
    const filled = 100 * tokens / (rows.length * length);
    this.size = rows.length;
    this.length = length;
    this.tokens = tokens;
    this.remarks = [
      ...dataset.remarks ?? [],
      `${grouped(size)} examples in ${grouped(rows.length)} rows of ${length} tokens, ` +
      `${filled.toFixed(1)} % filled`,
    ];
    this.#dataset = dataset;
    this.#rows = rows;
  }

  /**
   * Row `index`: its examples one behind the other.
   *
   * @throws {RangeError} If there is no such row.
   */
  example(index: number): Example {
    const row = this.#rows[index];
    if (row === undefined) throw new RangeError(`There is no row ${index}: there are ${this.size}`);
    const examples = row.map((example) => this.#dataset.example(example));
    const size = examples.reduce((sum, { tokens }) => sum + tokens.length, 0);
    const packed = { tokens: new Uint32Array(size), targets: new Uint8Array(size) };
    const starts: number[] = [];
    let start = 0;
    for (const { tokens, targets } of examples) {
      starts.push(start);
      packed.tokens.set(tokens, start);
      packed.targets.set(targets, start);
      packed.targets[start] = 0;
      start += tokens.length;
    }
    return { ...packed, starts };
  }
}

/** Which examples share a row, given the tokens of each and those that a row has room for. */
function packLengths(lengths: readonly number[], room: number): number[][] {
  const order = lengths.map((_, index) => index)
    .sort((left, right) => (lengths[right] ?? 0) - (lengths[left] ?? 0) || left - right);
  /** Rows by the tokens that still fit into them. */
  const open = Array.from({ length: room + 1 }, (): number[][] => []);
  const rows: number[][] = [];
  for (const index of order) {
    const tokens = lengths[index] ?? 0;
    if (tokens > room) {
      throw new RangeError(`Example ${index} has ${tokens} tokens; a row has room for ${room}`);
    }
    let left = tokens;
    while (left < room && open[left]?.length === 0) left++;
    const row = open[left]?.pop() ?? [];
    if (row.length === 0) rows.push(row);
    row.push(index);
    open[left - tokens]?.push(row);
  }
  for (const row of rows) row.sort((left, right) => left - right);
  return rows.sort(([left = 0], [right = 0]) => left - right);
}

/** A number as "12,345". */
function grouped(value: number): string {
  return value.toLocaleString("en-US");
}
