/**
 * Products of matrices in float64.
 *
 * Blocks of the factors are packed into the memory of a WebAssembly kernel, multiplied there, and the
 * results added to the output (Goto and van de Geijn 2008, "Anatomy of high-performance matrix
 * multiplication"), so that matrices of any size stay ordinary arrays.
 *
 * @module
 */

import { type Block, block, type Matrix, matrix } from "./matrix.ts";
import { addResults, lanesOf, pack } from "./packing.ts";
import {
  BLOCK_COLUMNS,
  BLOCK_DEPTH,
  BLOCK_ROWS,
  PANEL_COLUMNS,
  productKernel,
  TILE_ROWS,
} from "./product_kernel.ts";

/** Which factors of a product are used transposed; none where nothing is said. */
export interface Transposition {
  /** Use the left factor transposed. */
  readonly transposeLeft?: boolean;
  /** Use the right factor transposed. */
  readonly transposeRight?: boolean;
}

/** How {@linkcode multiplyInto} combines the product with what is there. */
export interface ProductOptions extends Transposition {
  /** Factor of the product; default 1. */
  readonly scale?: number;
  /** Add to the output instead of overwriting it; default false. */
  readonly accumulate?: boolean;
  /** Compute and write only the elements on and below the diagonal, at half the cost; default false. */
  readonly lowerOnly?: boolean;
}

/**
 * The product of two matrices, each transposed first if asked.
 *
 * The order of summation is fixed: equal factors give equal bits, on every run, with 128- and with
 * 256-bit vectors.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { multiply } from "./multiply.ts";
 *
 * const row = matrix(1, 2, Float64Array.of(3, 4));
 * assert.deepEqual([...multiply(row, row, { transposeRight: true }).values], [25]);
 * ```
 *
 * @throws {RangeError} if the inner sizes differ.
 */
export function multiply(
  left: Matrix | Block,
  right: Matrix | Block,
  options: Transposition = {},
): Matrix {
  const output = matrix(
    options.transposeLeft ? left.columns : left.rows,
    options.transposeRight ? right.rows : right.columns,
  );
  multiplyInto(output, left, right, options);
  return output;
}

/**
 * `output = scale * left * right`, or `output += ...` with `accumulate`. The output must not overlap
 * the factors.
 *
 * @throws {RangeError} if sizes do not agree.
 */
export function multiplyInto(
  output: Matrix | Block,
  left: Matrix | Block,
  right: Matrix | Block,
  options: ProductOptions = {},
): void {
  const { transposeLeft = false, transposeRight = false, scale = 1 } = options;
  const { accumulate = false, lowerOnly = false } = options;
  const out = block(output);
  // Lanes of a factor are rows of the left one and columns of the right one; steps are along k.
  const a = lanesOf(block(left), transposeLeft);
  const b = lanesOf(block(right), !transposeRight);
  if (a.steps !== b.steps || out.rows !== a.lanes || out.columns !== b.lanes) {
    throw new RangeError(
      `A product of [${a.lanes}, ${a.steps}] and [${b.steps}, ${b.lanes}] does not fit ` +
        `[${out.rows}, ${out.columns}].`,
    );
  }
  if (!accumulate) clear(out, lowerOnly);
  const kernel = productKernel();
  for (let column = 0; column < b.lanes; column += BLOCK_COLUMNS) {
    const columns = Math.min(BLOCK_COLUMNS, b.lanes - column);
    for (let step = 0; step < a.steps; step += BLOCK_DEPTH) {
      const depth = Math.min(BLOCK_DEPTH, a.steps - step);
      pack(kernel.right, PANEL_COLUMNS, b, column, columns, step, depth);
      // Above row `column` these columns are above the diagonal.
      for (let row = lowerOnly ? column : 0; row < a.lanes; row += BLOCK_ROWS) {
        const rows = Math.min(BLOCK_ROWS, a.lanes - row);
        const needed = lowerOnly ? Math.min(columns, row + rows - column) : columns;
        const panels = Math.ceil(needed / PANEL_COLUMNS);
        pack(kernel.left, TILE_ROWS, a, row, rows, step, depth);
        kernel.multiply(Math.ceil(rows / TILE_ROWS), panels, depth);
        const target = block(out, row, column, rows, Math.min(columns, panels * PANEL_COLUMNS));
        addResults(
          target,
          kernel.output,
          panels * PANEL_COLUMNS,
          scale,
          lowerOnly ? row - column : Infinity,
        );
      }
    }
  }
}

function clear({ rows, columns, values, offset, stride }: Block, lowerOnly: boolean): void {
  for (let i = 0; i < rows; i++) {
    const start = offset + i * stride;
    values.fill(0, start, start + (lowerOnly ? Math.min(i + 1, columns) : columns));
  }
}
