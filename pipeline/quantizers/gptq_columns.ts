// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * GPTQ's loop over columns (Frantar et al. 2023, algorithm 1): each column is rounded, and its error
 * is made up for by the columns that are still to come.
 *
 * @module
 */

import { assign, block, copyBlock, type Matrix, matrix } from "../linalg/matrix.ts";
import { multiplyInto } from "../linalg/multiply.ts";
import { blockGrid, type GridRule } from "./clip_search.ts";
import { encode } from "./integer_grid.ts";

/** How columns are grouped, and how far corrections are put off. */
export interface ColumnRule extends GridRule {
  /** Columns of a group; divides the columns. */
  readonly groupSize: number;
  /** Rows that share a grid; divides the rows. */
  readonly blockRows: number;
  /** Columns that correct each other one by one; what is right of them is corrected once. */
  readonly blockSize: number;
  /**
   * Whether the grid of a group that begins inside a block of columns is fitted to weights with the
   * corrections of that block, or, as in the released code, of the blocks before it only.
   */
  readonly fresh: boolean;
}

/** Grids of all blocks of weights, `[rows / blockRows, groups]` each. */
export interface BlockGrids {
  /** Steps, exact in f32. */
  readonly scales: Float32Array;
  /** Whole numbers. */
  readonly zeros: Float32Array;
}

/** Rounded weights. */
export interface RoundedColumns extends BlockGrids {
  /** `[rows, columns]`, one byte each. */
  readonly codes: Uint8Array;
  /**
   * The sum of squares of all errors `(w - q) / U_cc`, which is `tr((W - Q) H (W - Q)^T)` for the
   * damped Hessian H.
   */
  readonly error: number;
}

/** The grids of unchanged weights: GPTQ's static groups. */
export function staticGrids(weights: Matrix, rule: ColumnRule): BlockGrids {
  const { rows, columns } = weights;
  const { groupSize, blockRows } = rule;
  const grids = emptyGrids(weights, rule);
  let index = 0;
  for (let row = 0; row < rows; row += blockRows) {
    for (let column = 0; column < columns; column += groupSize, index++) {
      const values = copyBlock(block(weights, row, column, blockRows, groupSize)).values;
      const { scale, zero } = blockGrid(values, rule);
      grids.scales[index] = scale;
      grids.zeros[index] = zero;
    }
  }
  return grids;
}

/**
 * Rounds `weights [rows, columns]`, which it overwrites.
 *
 * @param upper `[columns, columns]`: `U` with `H^-1 = U^T U`, in the order of the columns.
 * @param fixed Static grids and the group of each column; null to fit the grid of consecutive
 * columns when the loop reaches them.
 */
export function roundColumns(
  weights: Matrix,
  upper: Matrix,
  rule: ColumnRule,
  fixed: { readonly grids: BlockGrids; readonly groups: Uint32Array } | null,
): RoundedColumns {
  return new ColumnLoop(weights, upper, rule, fixed).run();
}

function emptyGrids({ rows, columns }: Matrix, { blockRows, groupSize }: ColumnRule): BlockGrids {
  const blocks = rows / blockRows * (columns / groupSize);
  return { scales: new Float32Array(blocks), zeros: new Float32Array(blocks) };
}

class ColumnLoop {
  readonly #weights: Matrix;
  readonly #upper: Matrix;
  readonly #rule: ColumnRule;
  readonly #grids: BlockGrids;
  readonly #fitted: boolean;
  readonly #groups: Uint32Array;
  readonly #codes: Uint8Array;
  /** `[rows, blockSize]`: errors of the current block of columns. */
  readonly #errors: Matrix;
  /** `[blockRows, blockSize]`: current values of rows that share grids, within that block. */
  readonly #current: Matrix;

  constructor(
    weights: Matrix,
    upper: Matrix,
    rule: ColumnRule,
    fixed: { readonly grids: BlockGrids; readonly groups: Uint32Array } | null,
  ) {
    const { rows, columns } = weights;
    this.#weights = weights;
    this.#upper = upper;
    this.#rule = rule;
    this.#grids = fixed?.grids ?? emptyGrids(weights, rule);
    this.#fitted = fixed !== null;
    this.#groups = fixed?.groups ??
      Uint32Array.from({ length: columns }, (_, column) => Math.floor(column / rule.groupSize));
    this.#codes = new Uint8Array(rows * columns);
    const width = Math.min(rule.blockSize, columns);
    this.#errors = matrix(rows, width);
    this.#current = matrix(rule.blockRows, width);
  }

  run(): RoundedColumns {
    const { rows, columns } = this.#weights;
    let error = 0;
    for (let start = 0, end = 0; start < columns; start = end) {
      end = this.#endOfBlock(start);
      const width = end - start;
      for (let row = 0; row < rows; row += this.#rule.blockRows) {
        error += this.#roundRows(row, start, end);
      }
      // W[:, end:] -= R U[start:end, end:]
      multiplyInto(
        block(this.#weights, 0, end),
        block(this.#errors, 0, 0, rows, width),
        block(this.#upper, start, end, width),
        { scale: -1, accumulate: true },
      );
    }
    return { ...this.#grids, codes: this.#codes, error };
  }

  /**
   * Where the block of columns that begins at `start` ends. With fresh grids, a group that does not
   * end within a block begins with one, where all its weights have all corrections.
   */
  #endOfBlock(start: number): number {
    const { blockSize, groupSize, fresh } = this.#rule;
    const end = Math.min(start + blockSize, this.#weights.columns);
    const boundary = end - end % groupSize;
    return fresh && boundary > start ? boundary : end;
  }

  /** Rounds columns `start` to `end` of rows that share grids; returns their squared errors. */
  #roundRows(firstRow: number, start: number, end: number): number {
    const { blockRows, groupSize } = this.#rule;
    const width = end - start;
    assign(
      block(this.#current, 0, 0, blockRows, width),
      block(this.#weights, firstRow, start, blockRows, width),
    );
    let error = 0;
    for (let column = start; column < end; column++) {
      if (!this.#fitted && column % groupSize === 0) this.#fit(firstRow, column, start);
      for (let row = 0; row < blockRows; row++) {
        error += this.#round(firstRow, row, column, start, end) ** 2;
      }
    }
    return error;
  }

  #fit(firstRow: number, column: number, start: number): void {
    const { blockRows, groupSize, fresh } = this.#rule;
    const source = fresh && column > start
      ? block(this.#current, 0, column - start, blockRows, groupSize)
      : block(this.#weights, firstRow, column, blockRows, groupSize);
    const { scale, zero } = blockGrid(copyBlock(source).values, this.#rule);
    const index = this.#gridIndex(firstRow, column);
    this.#grids.scales[index] = scale;
    this.#grids.zeros[index] = zero;
  }

  #gridIndex(firstRow: number, column: number): number {
    const { blockRows, groupSize } = this.#rule;
    return firstRow / blockRows * (this.#weights.columns / groupSize) + this.#groups[column]!;
  }

  /** Rounds one weight and corrects the rest of its row within the block; returns its error. */
  #round(firstRow: number, row: number, column: number, start: number, end: number): number {
    const { columns } = this.#weights;
    const current = this.#current.values;
    const upper = this.#upper.values;
    const index = this.#gridIndex(firstRow, column);
    const grid = { scale: this.#grids.scales[index]!, zero: this.#grids.zeros[index]! };
    const place = row * this.#current.columns - start;
    const value = current[place + column]!;
    const code = encode(value, grid, this.#rule.bits);
    // The value that is read back: the product rounded to f32.
    const rounded = Math.fround(grid.scale * (code - grid.zero));
    const from = column * columns;
    const error = (value - rounded) / upper[from + column]!;
    for (let next = column + 1; next < end; next++) {
      current[place + next]! -= error * upper[from + next]!;
    }
    this.#codes[(firstRow + row) * columns + column] = code;
    this.#errors.values[(firstRow + row) * this.#errors.columns + column - start] = error;
    return error;
  }
}
