/**
 * A matrix that many thin products share. Packing a matrix takes as long as multiplying it with a dozen
 * vectors; here it is packed once, into the memory of a kernel of its own.
 *
 * @module
 */

import { type Block, block, type Matrix, matrix } from "./matrix.ts";
import { multiply, type Transposition } from "./multiply.ts";
import { addResults, type Lanes, lanesOf, pack } from "./packing.ts";
import {
  BLOCK_COLUMNS,
  BLOCK_DEPTH,
  BLOCK_ROWS,
  createKernel,
  PANEL_COLUMNS,
  type ProductKernel,
  TILE_ROWS,
} from "./product_kernel.ts";

/** Elements that a kernel can address, with room for its other factor and its results. */
const MOST_ELEMENTS = 2 ** 32 / Float64Array.BYTES_PER_ELEMENT - 2 ** 20;

/**
 * The function that multiplies a matrix from the right with `right`, or with its transpose. It gives
 * the bits of {@linkcode multiply}, and holds a copy of `right` as long as it lives: later changes of
 * `right` may or may not be seen. What is larger than a WebAssembly memory, 4 GiB, is not packed.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 * import { packRight } from "./packed_matrix.ts";
 *
 * const times = packRight(matrix(2, 1, Float64Array.of(3, 4)));
 * assert.deepEqual([...times(matrix(1, 2, Float64Array.of(1, 10))).values], [43]);
 * ```
 */
export function packRight(
  right: Matrix | Block,
  options: Pick<Transposition, "transposeRight"> = {},
): (left: Matrix | Block) => Matrix {
  const factor = lanesOf(block(right), !options.transposeRight);
  const elements = roundUp(factor.lanes) * factor.steps;
  if (elements > MOST_ELEMENTS) return (left) => multiply(left, right, options);
  const kernel = createKernel(elements);
  forEachBlock(factor, ({ column, columns, step, depth, place }) => {
    const target = kernel.right.subarray(place);
    pack(target, PANEL_COLUMNS, factor, column, columns, step, depth);
  });
  return (left) => multiplyPacked(kernel, factor, block(left));
}

function multiplyPacked(kernel: ProductKernel, factor: Lanes, left: Block): Matrix {
  if (left.columns !== factor.steps) {
    throw new RangeError(
      `A matrix [${left.rows}, ${left.columns}] cannot be multiplied with ` +
        `[${factor.steps}, ${factor.lanes}].`,
    );
  }
  const output = matrix(left.rows, factor.lanes);
  const lanes = lanesOf(left, false);
  forEachBlock(factor, ({ column, columns, step, depth, place }) => {
    const stride = roundUp(columns);
    for (let row = 0; row < left.rows; row += BLOCK_ROWS) {
      const rows = Math.min(BLOCK_ROWS, left.rows - row);
      pack(kernel.left, TILE_ROWS, lanes, row, rows, step, depth);
      kernel.multiply(Math.ceil(rows / TILE_ROWS), stride / PANEL_COLUMNS, depth, place);
      addResults(block(output, row, column, rows, columns), kernel.output, stride, 1, Infinity);
    }
  });
  return output;
}

/** A block of the packed factor. */
interface PackedBlock {
  readonly column: number;
  readonly columns: number;
  readonly step: number;
  readonly depth: number;
  /** Element of the packed factor that it begins at. */
  readonly place: number;
}

/** Visits all blocks in the order in which they are packed, and in which a product adds them. */
function forEachBlock({ lanes, steps }: Lanes, visit: (packed: PackedBlock) => void): void {
  for (let column = 0; column < lanes; column += BLOCK_COLUMNS) {
    const columns = Math.min(BLOCK_COLUMNS, lanes - column);
    for (let step = 0; step < steps; step += BLOCK_DEPTH) {
      const depth = Math.min(BLOCK_DEPTH, steps - step);
      const place = column * steps + roundUp(columns) * step;
      visit({ column, columns, step, depth, place });
    }
  }
}

/** Lanes with those that fill the last panel. */
function roundUp(lanes: number): number {
  return Math.ceil(lanes / PANEL_COLUMNS) * PANEL_COLUMNS;
}
