import assert from "node:assert/strict";
import {
  assign,
  block,
  copy,
  copyBlock,
  fromFloat32,
  identity,
  matrix,
  mirrorLower,
  transpose,
} from "./matrix.ts";
import { fill } from "./testing/matrices.ts";

Deno.test("sizes and values of a matrix have to agree", () => {
  assert.throws(() => matrix(2, 3, new Float64Array(5)), /\[2, 3\] cannot hold 5 values/);
  assert.throws(() => matrix(-1, 3), RangeError);
  assert.throws(() => matrix(1.5, 2), RangeError);
  assert.throws(() => fromFloat32(new Float32Array(5), 2, 3), RangeError);
  assert.deepEqual([...identity(2).values], [1, 0, 0, 1]);
  assert.deepEqual([...fromFloat32(Float32Array.of(0.1), 1, 1).values], [Math.fround(0.1)]);
});

Deno.test("transpose exchanges rows and columns, also beyond one square of the cache", () => {
  const source = fill(33, 70, (i, j) => 100 * i + j);
  const result = transpose(source);
  assert.deepEqual(result, fill(70, 33, (i, j) => 100 * j + i));
});

Deno.test("a block is a rectangle of the same memory", () => {
  const source = fill(4, 5, (i, j) => 10 * i + j);
  const inner = block(block(source, 1, 1), 1, 2, 2, 2);
  assert.deepEqual([...copyBlock(inner).values], [23, 24, 33, 34]);
  const copied = copy(source);
  assign(inner, matrix(2, 2, Float64Array.of(1, 2, 3, 4)));
  assert.deepEqual([...source.values.subarray(10)], [20, 21, 22, 1, 2, 30, 31, 32, 3, 4]);
  assert.equal(copied.values[13], 23);
  assert.throws(() => block(source, 3, 0, 2, 2), /reaches beyond a matrix \[4, 5\]/);
  assert.throws(() => assign(inner, matrix(2, 3)), RangeError);
});

Deno.test("mirroring copies what is below the diagonal above it", () => {
  const source = fill(70, 70, (i, j) => i >= j ? 100 * i + j : -1);
  mirrorLower(source);
  const expected = fill(70, 70, (i, j) => 100 * Math.max(i, j) + Math.min(i, j));
  assert.deepEqual(source, expected);
});
