import assert from "node:assert/strict";
import { block, matrix } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { packRight } from "./packed_matrix.ts";
import { BLOCK_COLUMNS, BLOCK_DEPTH, BLOCK_ROWS } from "./product_kernel.ts";
import { flip, gaussian, integers, plainProduct } from "./testing/matrices.ts";

Deno.test("packed matrices multiply as often as one likes, exactly for integers", () => {
  for (
    const [depth, columns] of [
      [1, 1],
      [9, 17],
      [0, 5],
      [BLOCK_DEPTH + 3, BLOCK_COLUMNS + 11],
      [2 * BLOCK_DEPTH, 30],
    ] as const
  ) {
    const right = integers(depth, columns, 1);
    const times = packRight(right);
    const timesFlipped = packRight(flip(right), { transposeRight: true });
    for (const rows of [1, 7, BLOCK_ROWS + 5]) {
      const left = integers(rows, depth, rows);
      const expected = plainProduct(left, right);
      assert.deepEqual(times(left), expected, `${[rows, depth, columns]}`);
      assert.deepEqual(timesFlipped(left), expected, `${[rows, depth, columns]}`);
    }
  }
});

Deno.test("the bits are those of a product that packs for itself", () => {
  const right = block(gaussian(500, 1200, 2), 30, 40);
  const left = gaussian(10, 470, 3);
  assert.deepEqual(packRight(right)(left), multiply(left, right));
});

Deno.test("sizes that do not fit are refused", () => {
  const times = packRight(matrix(3, 4));
  assert.throws(() => times(matrix(2, 4)), /\[2, 4\] cannot be multiplied with \[3, 4\]/);
});
