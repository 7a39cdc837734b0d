/**
 * Parts of tensors that a kernel can bind. A buffer may be larger than one binding (on lavapipe 2 GiB
 * against 128 MiB), so that embeddings, heads and slabs of parameters are bound in shards: runs of
 * rows, each a view of every tensor of the operation.
 *
 * @module
 */

import {
  NF4_ABSMAX_BLOCK,
  NF4_BLOCK,
  sizeOf,
  type Tensor,
  VIEW_ALIGNMENT,
  type Weight,
} from "../device.ts";
import type { Profile } from "./program.ts";
import { boundBytes, mebibytes, viewOf } from "./tensor.ts";

/** Consecutive rows of a matrix, or elements of a flat tensor. */
export interface RowRange {
  /** The first row. */
  readonly first: number;
  /** Number of rows. */
  readonly count: number;
}

/** How a tensor is laid out along rows: `elements` of it belong to every `rows` rows. */
export interface RowLayout {
  /** Cut where rows are cut. */
  readonly tensor: Tensor;
  /** Consecutive elements that belong to `rows` rows. */
  readonly elements: number;
  /** More than 1 where rows share elements, as those of one block share a scale. */
  readonly rows: number;
}

/** Whether one binding can hold a tensor. */
export function fits({ maxBindingBytes }: Profile, tensor: Tensor): boolean {
  return boundBytes(tensor) <= maxBindingBytes;
}

/** The layout of a tensor whose elements are divided equally among `rows` rows. */
export function rowLayout(tensor: Tensor, rows: number): RowLayout {
  return { tensor, elements: tensor.size / rows, rows: 1 };
}

/** The layouts of all tensors of a weight that have a part for each row. */
export function weightLayouts(weight: Weight): RowLayout[] {
  const { rows, columns } = weight;
  switch (weight.format) {
    case "dense":
      return [rowLayout(weight.values, rows)];
    case "integer":
      return [
        rowLayout(weight.codes, rows),
        ...[weight.scales, weight.zeros].map((tensor) => ({
          tensor,
          elements: columns / weight.blockColumns,
          rows: weight.blockRows,
        })),
      ];
    case "codebook":
      return [rowLayout(weight.codes, rows), rowLayout(weight.levels, rows)];
    case "nf4": {
      const { codes, absmax } = weight;
      const parts: [Tensor, weightsPerElement: number][] = absmax.kind === "plain"
        ? [[absmax.values, NF4_BLOCK]]
        : [[absmax.codes, 4 * NF4_BLOCK], [absmax.scales, NF4_ABSMAX_BLOCK * NF4_BLOCK]];
      return [
        rowLayout(codes, rows),
        ...parts.map(([tensor, weightsPerElement]) => {
          const divisor = commonDivisor(columns, weightsPerElement);
          return { tensor, elements: columns / divisor, rows: weightsPerElement / divisor };
        }),
      ];
    }
  }
}

/**
 * Divides rows so that one binding holds the part of every tensor: as few ranges as possible, all of
 * one length but the last, each starting where every tensor can be viewed.
 *
 * @param most Rows of a range at most, for reasons other than these tensors.
 * @throws {RangeError} If a binding cannot hold even the fewest rows that can be viewed.
 */
export function rowRanges(
  { maxBindingBytes }: Profile,
  rows: number,
  layouts: readonly RowLayout[],
  most = rows,
): RowRange[] {
  let step = 1;
  let fitting = Math.min(rows, most);
  for (const { elements, rows: shared } of layouts) {
    // The fewest rows that share no element with the next and end where a view may start.
    const aligned = shared * VIEW_ALIGNMENT / commonDivisor(VIEW_ALIGNMENT, elements);
    step = step / commonDivisor(step, aligned) * aligned;
    fitting = Math.min(fitting, Math.floor(maxBindingBytes / 4 / elements) * shared);
  }
  const count = fitting < rows ? Math.floor(fitting / step) * step : rows;
  if (count === 0) {
    const labels = layouts.map(({ tensor }) => `"${tensor.label}"`).join(", ");
    throw new RangeError(
      `${Math.min(step, rows)} rows of ${labels} cannot be bound together: this device binds ` +
        `${mebibytes(maxBindingBytes)} at once; use a smaller hidden size, batch or length`,
    );
  }
  const ranges: RowRange[] = [];
  for (let first = 0; first < rows; first += count) {
    ranges.push({ first, count: Math.min(count, rows - first) });
  }
  return ranges;
}

/** The part of a tensor that belongs to a range of {@linkcode rowRanges}. */
export function rowsOf({ tensor, elements, rows }: RowLayout, { first, count }: RowRange): Tensor {
  const size = Math.ceil(count * elements / rows);
  if (size === tensor.size) return tensor;
  const inner = tensor.shape.slice(1);
  const shape = inner.length === 0
    ? [size]
    : [size / elements, ...(sizeOf(inner) === elements ? inner : [elements])];
  return viewOf(tensor, first * elements / rows, shape, tensor.label);
}

/** A range of rows of a weight; nothing is copied. */
export function weightRows<W extends Weight>(weight: W, range: RowRange): W {
  const rows = range.count;
  const parts = weightLayouts(weight).map((layout) => rowsOf(layout, range));
  const [first, second, third] = parts as [Tensor, Tensor, Tensor];
  switch (weight.format) {
    case "dense":
      return { ...weight, rows, values: first };
    case "integer":
      return { ...weight, rows, codes: first, scales: second, zeros: third };
    case "codebook":
      return { ...weight, rows, codes: first, levels: second };
    case "nf4": {
      const absmax = weight.absmax.kind === "plain"
        ? { ...weight.absmax, values: second }
        : { ...weight.absmax, codes: second, scales: third };
      return { ...weight, rows, codes: first, absmax };
    }
  }
}

function commonDivisor(left: number, right: number): number {
  return right === 0 ? left : commonDivisor(right, left % right);
}
