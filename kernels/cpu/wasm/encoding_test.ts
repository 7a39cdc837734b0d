import assert from "node:assert/strict";
import { name, section, signed, unsigned, vector } from "./encoding.ts";

Deno.test("unsigned integers in LEB128: seven bits a byte, lowest first", () => {
  const cases: [number | bigint, number[]][] = [
    [0, [0x00]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [16383, [0xff, 0x7f]],
    [16384, [0x80, 0x80, 0x01]],
    [624485, [0xe5, 0x8e, 0x26]],
    [0xffffffff, [0xff, 0xff, 0xff, 0xff, 0x0f]],
    [2n ** 64n - 1n, [...Array(9).fill(0xff), 0x01]],
  ];
  for (const [value, bytes] of cases) assert.deepEqual([...unsigned(value)], bytes, `${value}`);
  assert.throws(() => unsigned(-1), RangeError);
});

Deno.test("signed integers in LEB128: the last byte carries the sign", () => {
  const cases: [number | bigint, number[]][] = [
    [0, [0x00]],
    [-1, [0x7f]],
    [63, [0x3f]],
    [64, [0xc0, 0x00]],
    [-64, [0x40]],
    [-65, [0xbf, 0x7f]],
    [-123456, [0xc0, 0xbb, 0x78]],
    [2 ** 31 - 1, [0xff, 0xff, 0xff, 0xff, 0x07]],
    [-(2 ** 31), [0x80, 0x80, 0x80, 0x80, 0x78]],
    [-(2n ** 63n), [...Array(9).fill(0x80), 0x7f]],
  ];
  for (const [value, bytes] of cases) assert.deepEqual([...signed(value)], bytes, `${value}`);
});

Deno.test("names, vectors and sections say their length first", () => {
  assert.deepEqual([...name("é")], [2, 0xc3, 0xa9]);
  assert.deepEqual([...vector([[1, 2], [3]])], [2, 1, 2, 3]);
  assert.deepEqual([...section(9, Array(130).fill(7))].slice(0, 4), [9, 0x82, 0x01, 7]);
});
