// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Products of matrices in float64.
 *
 * @module
 */

import { type Block, block, type Matrix, matrix } from "./matrix.ts";

/** Which factors of a product are used transposed; none where nothing is said. */
export interface Transposition {
  readonly transposeLeft?: boolean;
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
  const [rows, depth] = transposeLeft ? [left.columns, left.rows] : [left.rows, left.columns];
  const [inner, columns] = transposeRight
    ? [right.columns, right.rows]
    : [right.rows, right.columns];
  if (inner !== depth || out.rows !== rows || out.columns !== columns) {
    throw new RangeError(
      `A product of [${rows}, ${depth}] and [${inner}, ${columns}] does not fit ` +
        `[${out.rows}, ${out.columns}].`,
    );
  }
  const a = block(left);
  const b = block(right);
  const [aRow, aStep] = transposeLeft ? [1, a.stride] : [a.stride, 1];
  const [bStep, bColumn] = transposeRight ? [1, b.stride] : [b.stride, 1];
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < (lowerOnly ? Math.min(i + 1, columns) : columns); j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) {
        sum += a.values[a.offset + i * aRow + k * aStep]! *
          b.values[b.offset + k * bStep + j * bColumn]!;
      }
      const place = out.offset + i * out.stride + j;
      out.values[place] = scale * sum + (accumulate ? out.values[place]! : 0);
    }
  }
}
