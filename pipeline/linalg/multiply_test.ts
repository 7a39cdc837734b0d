// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { fusesMultiplyAdd } from "../../kernels/cpu/info.ts";
import {
  usesWideVectors,
  V8_FLAGS_VARIABLE,
  WIDE_VECTOR_FLAGS,
} from "../../kernels/cpu/wide_vectors.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { block, copy, copyBlock, matrix } from "./matrix.ts";
import { multiply, multiplyInto } from "./multiply.ts";
import { BLOCK_COLUMNS, BLOCK_DEPTH, BLOCK_ROWS } from "./product_kernel.ts";
import { assertNear, fill, flip, gaussian, integers, plainProduct } from "./testing/matrices.ts";

/** Rows, depth and columns around the sizes of tiles, panels and blocks. */
const SHAPES: readonly (readonly [number, number, number])[] = [
  [1, 1, 1],
  [1, 40, 1],
  [5, 3, 7],
  [6, 4, 8],
  [7, 5, 9],
  [30, 0, 20],
  [BLOCK_ROWS - 1, 11, 17],
  [BLOCK_ROWS + 1, BLOCK_DEPTH + 1, 23],
  [2, BLOCK_DEPTH, BLOCK_COLUMNS],
  [13, 2 * BLOCK_DEPTH - 1, BLOCK_COLUMNS + 3],
];

Deno.test("products of integers are exact, whichever factor is transposed", () => {
  for (const [rows, depth, columns] of SHAPES) {
    const left = integers(rows, depth, 1);
    const right = integers(depth, columns, 2);
    const expected = plainProduct(left, right);
    const name = `${[rows, depth, columns]}`;
    assert.deepEqual(multiply(left, right), expected, name);
    assert.deepEqual(multiply(flip(left), right, { transposeLeft: true }), expected, name);
    assert.deepEqual(multiply(left, flip(right), { transposeRight: true }), expected, name);
    const both = { transposeLeft: true, transposeRight: true };
    assert.deepEqual(multiply(flip(left), flip(right), both), expected, name);
  }
});

Deno.test("products of real numbers are as exact as a sum of that length can be", () => {
  const left = gaussian(50, 700, 3);
  const right = gaussian(700, 40, 4);
  const magnitudes = plainProduct(
    fill(50, 700, (i, j) => Math.abs(left.values[i * 700 + j]!)),
    fill(700, 40, (i, j) => Math.abs(right.values[i * 40 + j]!)),
  );
  // Both sums are within depth * epsilon / 2 of the truth.
  const bound = 700 * Number.EPSILON * Math.max(...magnitudes.values);
  assertNear(multiply(left, right), plainProduct(left, right), bound);
});

Deno.test("a scaled product is added to a block and touches nothing else", () => {
  const left = integers(20, 9, 5);
  const right = integers(9, 30, 6);
  const output = integers(40, 50, 7);
  const before = copy(output);
  const target = block(output, 11, 13, 20, 30);
  multiplyInto(target, left, right, { scale: -2, accumulate: true });
  const product = plainProduct(left, right);
  const expected = fill(40, 50, (i, j) => {
    const isInside = i >= 11 && i < 31 && j >= 13 && j < 43;
    return before.values[i * 50 + j]! -
      (isInside ? 2 * product.values[(i - 11) * 30 + j - 13]! : 0);
  });
  assert.deepEqual(output, expected);
  multiplyInto(target, left, right, { scale: 3 });
  assert.deepEqual(copyBlock(target), fill(20, 30, (i, j) => 3 * product.values[i * 30 + j]!));
});

Deno.test("lowerOnly writes on and below the diagonal only", () => {
  for (
    const [rows, columns] of [[5, 5], [250, 250], [300, 120], [120, 300], [
      BLOCK_COLUMNS + 150,
      BLOCK_COLUMNS + 150,
    ]] as const
  ) {
    const left = integers(rows, 3, 8);
    const right = integers(3, columns, 9);
    const product = plainProduct(left, right);
    for (const accumulate of [false, true]) {
      const output = fill(rows, columns, () => 1000);
      multiplyInto(output, left, right, { lowerOnly: true, accumulate });
      const expected = fill(
        rows,
        columns,
        (i, j) => j > i ? 1000 : product.values[i * columns + j]! + (accumulate ? 1000 : 0),
      );
      assert.deepEqual(output, expected, `${rows} x ${columns}`);
    }
  }
});

Deno.test("sizes that do not fit are refused", () => {
  assert.throws(() => multiply(matrix(2, 3), matrix(4, 5)), /\[2, 3\] and \[4, 5\]/);
  assert.throws(() => multiplyInto(matrix(2, 2), matrix(2, 3), matrix(3, 5)), RangeError);
});

Deno.test("infinities and NaN stay in their rows and columns", () => {
  const left = fill(7, 3, (i, j) => i === 2 && j === 1 ? Infinity : 1);
  const product = multiply(left, fill(3, 9, () => 1));
  assert.deepEqual(product, fill(7, 9, (i) => i === 2 ? Infinity : 3));
});

const PROGRAM = `
  import { gaussian } from "./testing/matrices.ts";
  import { multiply } from "./multiply.ts";
  const { values } = multiply(gaussian(103, 301, 1), gaussian(301, 77, 2));
  console.log([...new BigUint64Array(values.buffer)].join());
`;

const noWideVectors = Deno.build.arch !== "x86_64" || !fusesMultiplyAdd()
  ? "this processor has no wide vectors"
  : usesWideVectors()
  ? "all tests run with wide vectors here"
  : null;

testUnless(noWideVectors, "wide vectors give the same bits", async () => {
  const folder = new URL(".", import.meta.url);
  const program = PROGRAM.replaceAll('"./', `"${folder}`);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", "--ext=ts", program],
    cwd: fileURLToPath(folder),
    env: { [V8_FLAGS_VARIABLE]: WIDE_VECTOR_FLAGS.join(","), NO_COLOR: "1" },
    stdin: "null",
  }).output();
  assert.ok(success, new TextDecoder().decode(stderr));
  const { values } = multiply(gaussian(103, 301, 1), gaussian(301, 77, 2));
  const expected = [...new BigUint64Array(values.buffer as ArrayBuffer)].join();
  assert.equal(new TextDecoder().decode(stdout).trim(), expected);
});
