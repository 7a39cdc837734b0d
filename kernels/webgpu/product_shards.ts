/**
 * Matrix products whose tensors are larger than one binding (see `shards.ts`), cut along one of their
 * dimensions. Rows of a stored matrix are views; columns are not contiguous and pass through scratch.
 *
 * @module
 */

import type { Tensor } from "../device.ts";
import { perElement } from "./per_element.ts";
import type { Product } from "./product_types.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { ScratchReuse } from "./scratch.ts";
import {
  fits,
  type RowLayout,
  rowLayout,
  type RowRange,
  rowRanges,
  rowsOf,
  weightLayouts,
  weightRows,
} from "./shards.ts";
import { u32 } from "./wgsl.ts";

/** Compiles a product that may still need to be cut. */
type Compile = (context: KernelContext, product: Product) => Dispatch[];

/** Whether every tensor of a product can be bound whole. */
export function isBindable(profile: Profile, product: Product): boolean {
  const tensors = rightLayouts(product).map(({ tensor }) => tensor);
  return [product.left.tensor, product.output, ...tensors].every((tensor) => fits(profile, tensor));
}

/**
 * A product in parts, along the rows in which a tensor that is too large is stored: first those of
 * `left`, then of `output`, then of `right`. Of the others, only tensors that fit are then copied by
 * columns. Cutting the reduction adds up its parts in order.
 */
export function shardedProduct(
  context: KernelContext,
  product: Product,
  compile: Compile,
): Dispatch[] {
  const { left, right, output } = product;
  const leftFits = fits(context.profile, left.tensor);
  if (!leftFits && left.transposed) return cutReduction(context, product, compile);
  if (!leftFits || !fits(context.profile, output)) return cutRows(context, product, compile);
  return right.transposed
    ? cutColumns(context, product, compile)
    : cutReduction(context, product, compile);
}

/** Along M. */
function cutRows(context: KernelContext, product: Product, compile: Compile): Dispatch[] {
  const { M, K, left } = product;
  const output = rowLayout(product.output, M);
  const leftRows = rowLayout(left.tensor, M);
  const ranges = rowRanges(context.profile, M, left.transposed ? [output] : [output, leftRows]);
  const reuse = new ScratchReuse(context);
  return ranges.flatMap((range) => {
    const local = reuse.next();
    const dispatches: Dispatch[] = [];
    const tensor = left.transposed
      ? takeColumns(local, left.tensor, K, range, dispatches)
      : rowsOf(leftRows, range);
    const part = { M: range.count, left: { ...left, tensor }, output: rowsOf(output, range) };
    return [...dispatches, ...compile(local, { ...product, ...part })];
  });
}

/** Along N, where `right` is stored `[N, K]`. */
function cutColumns(context: KernelContext, product: Product, compile: Compile): Dispatch[] {
  const { M, N, bias, accumulate } = product;
  const biasLayout = bias && rowLayout(bias, N);
  const layouts = [...rightLayouts(product), ...(biasLayout ? [biasLayout] : [])];
  const reuse = new ScratchReuse(context);
  return rowRanges(context.profile, N, layouts).flatMap((range) => {
    const local = reuse.next();
    const output = local.scratch("f32", [M, range.count]);
    return [
      ...compile(local, {
        ...product,
        N: range.count,
        right: rightRows(product, range),
        bias: biasLayout && rowsOf(biasLayout, range),
        output,
        accumulate: false,
      }),
      copyColumns(local, {
        label: `${product.label} columns`,
        columns: output,
        matrix: product.output,
        rows: M,
        range,
        code: `matrix[place] ${accumulate ? "+=" : "="} columns[index];`,
        writes: "matrix",
      }),
    ];
  });
}

/** Along K, where `right` is stored `[K, N]`. */
function cutReduction(context: KernelContext, product: Product, compile: Compile): Dispatch[] {
  const { M, K, left, bias, accumulate } = product;
  const leftRows = rowLayout(left.tensor, K);
  const layouts = [...rightLayouts(product), ...(left.transposed ? [leftRows] : [])];
  const reuse = new ScratchReuse(context);
  return rowRanges(context.profile, K, layouts).flatMap((range) => {
    const local = reuse.next();
    const dispatches: Dispatch[] = [];
    const tensor = left.transposed
      ? rowsOf(leftRows, range)
      : takeColumns(local, left.tensor, M, range, dispatches);
    const isFirst = range.first === 0;
    const part = {
      K: range.count,
      left: { ...left, tensor },
      right: rightRows(product, range),
      bias: isFirst ? bias : null,
      accumulate: accumulate || !isFirst,
    };
    return [...dispatches, ...compile(local, { ...product, ...part })];
  });
}

function rightLayouts({ right, N, K }: Product): RowLayout[] {
  return "weight" in right
    ? weightLayouts(right.weight)
    : [rowLayout(right.tensor, right.transposed ? N : K)];
}

function rightRows(product: Product, range: RowRange): Product["right"] {
  const { right, N, K } = product;
  if ("weight" in right) return { ...right, weight: weightRows(right.weight, range) };
  const layout = rowLayout(right.tensor, right.transposed ? N : K);
  return { ...right, tensor: rowsOf(layout, range) };
}

/** Copies columns of a matrix with `rows` rows to scratch. */
function takeColumns(
  context: KernelContext,
  matrix: Tensor,
  rows: number,
  range: RowRange,
  dispatches: Dispatch[],
): Tensor {
  const columns = context.scratch("f32", [rows, range.count]);
  dispatches.push(copyColumns(context, {
    label: "columns",
    columns,
    matrix,
    rows,
    range,
    code: "columns[index] = matrix[place];",
    writes: "columns",
  }));
  return columns;
}

/** Runs `code` for each `index` of `columns [rows, range.count]` and its `place` in `matrix`. */
function copyColumns(
  { profile }: KernelContext,
  { label, columns, matrix, rows, range, code, writes }: {
    label: string;
    columns: Tensor;
    matrix: Tensor;
    rows: number;
    range: RowRange;
    code: string;
    writes: "columns" | "matrix";
  },
): Dispatch {
  const access = (name: string) => name === writes ? "read_write" : "read";
  return perElement(profile, {
    label,
    size: rows * range.count,
    storage: [
      { name: "columns", tensor: columns, access: access("columns"), element: "f32" },
      { name: "matrix", tensor: matrix, access: access("matrix"), element: "f32" },
    ],
    uniforms: { width: u32(range.count), stride: u32(matrix.size / rows), first: u32(range.first) },
    code: `  let row = index / parameters.width;
  let place = row * parameters.stride + parameters.first + index % parameters.width;
  ${code}`,
  });
}
