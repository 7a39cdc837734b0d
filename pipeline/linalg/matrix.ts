/**
 * Dense matrices of float64 in host memory, row by row, and rectangles of them.
 *
 * @module
 */

/** A matrix; element `(i, j)` is `values[i * columns + j]`. */
export interface Matrix {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly columns: number;
  /** `[rows, columns]`, row by row. */
  readonly values: Float64Array;
}

/** A rectangle of a matrix, where it lies; element `(i, j)` is `values[offset + i * stride + j]`. */
export interface Block {
  /** Number of rows. */
  readonly rows: number;
  /** Number of columns. */
  readonly columns: number;
  /** The values of the whole matrix. */
  readonly values: Float64Array;
  /** Place of the first element in `values`. */
  readonly offset: number;
  /** Elements from one row to the next. */
  readonly stride: number;
}

/**
 * A matrix of the given values, which are not copied; zeros where none are given.
 *
 * ```ts
 * import assert from "node:assert/strict";
 * import { matrix } from "./matrix.ts";
 *
 * assert.deepEqual([...matrix(2, 2).values], [0, 0, 0, 0]);
 * ```
 *
 * @throws {RangeError} if the sizes are not whole numbers or the values do not fill them.
 */
export function matrix(
  rows: number,
  columns: number,
  values: Float64Array = new Float64Array(Math.max(0, rows * columns)),
): Matrix {
  if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows < 0 || columns < 0) {
    throw new RangeError(`A matrix cannot have ${rows} rows and ${columns} columns.`);
  }
  if (values.length !== rows * columns) {
    throw new RangeError(`A matrix [${rows}, ${columns}] cannot hold ${values.length} values.`);
  }
  return { rows, columns, values };
}

/** The matrix with ones on its diagonal. */
export function identity(size: number): Matrix {
  const result = matrix(size, size);
  for (let i = 0; i < size; i++) result.values[i * size + i] = 1;
  return result;
}

/** A copy in float64 of float32 values `[rows, columns]`. */
export function fromFloat32(values: Float32Array, rows: number, columns: number): Matrix {
  return matrix(rows, columns, Float64Array.from(values));
}

/** A copy. */
export function copy(source: Matrix): Matrix {
  return matrix(source.rows, source.columns, source.values.slice());
}

/** A copy with rows and columns exchanged: `[columns, rows]`. */
export function transpose(source: Matrix): Matrix {
  const { rows, columns, values } = source;
  const result = matrix(columns, rows);
  // Squares that fit in the cache, because one of the two sides is not read in order.
  const size = 32;
  for (let top = 0; top < rows; top += size) {
    const bottom = Math.min(top + size, rows);
    for (let left = 0; left < columns; left += size) {
      const right = Math.min(left + size, columns);
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < right; j++) {
          result.values[j * rows + i] = values[i * columns + j] as number;
        }
      }
    }
  }
  return result;
}

/** Makes a square matrix symmetric: what is below the diagonal is copied above it. */
export function mirrorLower({ rows, values }: Matrix): void {
  const size = 32;
  for (let top = 0; top < rows; top += size) {
    const bottom = Math.min(top + size, rows);
    for (let left = 0; left <= top; left += size) {
      for (let i = top; i < bottom; i++) {
        for (let j = left; j < Math.min(left + size, i); j++) {
          values[j * rows + i] = values[i * rows + j] as number;
        }
      }
    }
  }
}

/**
 * The rectangle of `rows` x `columns` whose first element is `(row, column)`; the whole, or what is
 * below and to the right, where sizes are left out. It shares the memory of its source.
 *
 * @throws {RangeError} if it reaches beyond the source.
 */
export function block(
  source: Matrix | Block,
  row = 0,
  column = 0,
  rows: number = source.rows - row,
  columns: number = source.columns - column,
): Block {
  if (
    row < 0 || column < 0 || rows < 0 || columns < 0 || row + rows > source.rows ||
    column + columns > source.columns
  ) {
    throw new RangeError(
      `Block [${rows}, ${columns}] at (${row}, ${column}) reaches beyond a matrix ` +
        `[${source.rows}, ${source.columns}].`,
    );
  }
  const { offset, stride } = "stride" in source ? source : { offset: 0, stride: source.columns };
  return { rows, columns, values: source.values, offset: offset + row * stride + column, stride };
}

/** A matrix of its own with the elements of a block. */
export function copyBlock(source: Matrix | Block): Matrix {
  const { rows, columns, values, offset, stride } = block(source);
  const result = matrix(rows, columns);
  for (let i = 0; i < rows; i++) {
    const from = offset + i * stride;
    result.values.set(values.subarray(from, from + columns), i * columns);
  }
  return result;
}

/** Copies the elements of `source` to a block of the same size elsewhere. */
export function assign(target: Matrix | Block, source: Matrix | Block): void {
  const to = block(target);
  const from = block(source);
  if (to.rows !== from.rows || to.columns !== from.columns) {
    throw new RangeError(
      `A block [${from.rows}, ${from.columns}] does not fit [${to.rows}, ${to.columns}].`,
    );
  }
  for (let i = 0; i < to.rows; i++) {
    const start = from.offset + i * from.stride;
    to.values.set(from.values.subarray(start, start + to.columns), to.offset + i * to.stride);
  }
}
