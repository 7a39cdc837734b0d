import assert from "node:assert/strict";
import type { IntegerBits } from "./device.ts";
import { codeWords, packCodes, unpackCodes } from "./packing.ts";
import { randomIntegers } from "./testing/arrays.ts";

const WIDTHS: readonly IntegerBits[] = [1, 2, 3, 4, 8];

Deno.test("a row takes bits words per started chunk of 32 columns", () => {
  for (const bits of WIDTHS) {
    assert.deepEqual([1, 31, 32, 33, 64].map((columns) => codeWords(bits, columns)), [
      bits,
      bits,
      bits,
      2 * bits,
      2 * bits,
    ]);
  }
});

Deno.test("codes survive packing, whatever the width and the number of columns", () => {
  for (const bits of WIDTHS) {
    for (const columns of [1, 3, 15, 16, 17, 31, 32, 33, 65]) {
      const codes = Uint8Array.from(randomIntegers(`${bits} ${columns}`, 3 * columns, 2 ** bits));
      const words = packCodes(codes, bits, 3, columns);
      assert.equal(words.length, 3 * codeWords(bits, columns));
      assert.deepEqual(unpackCodes(words, bits, 3, columns), codes);
    }
  }
});

Deno.test("1, 2, 4 and 8 bits stand in order, lowest bits first, rows padded with zeros", () => {
  assert.deepEqual([...packCodes(Uint8Array.of(1, 0, 0, 1, 1), 1, 1, 5)], [0b11001]);
  const row = (bits: 2 | 4 | 8) => [...packCodes(Uint8Array.of(1, 2, 3, 1, 2), bits, 1, 5)];
  assert.deepEqual(row(2), [0b10_01_11_10_01, 0]);
  assert.deepEqual(row(4), [0x21321, 0, 0, 0]);
  assert.deepEqual(row(8), [0x01030201, 0x02, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...packCodes(new Uint8Array(16).fill(3), 2, 1, 16)], [0xffffffff, 0]);
});

Deno.test("3 bits stand as low pairs of 16 columns, twice, and a plane of high bits", () => {
  const codes = new Uint8Array(32);
  codes.set([0b101, 0b110]);
  codes[15] = 0b011;
  codes[16] = 0b111;
  codes[31] = 0b100;
  const words = packCodes(codes, 3, 1, 32);
  assert.deepEqual([...words], [(0b1001 | 3 << 30) >>> 0, 0b11, (0b11 | 1 << 16 | 1 << 31) >>> 0]);
});

Deno.test("a code that does not fit is refused with its place", () => {
  assert.throws(() => packCodes(Uint8Array.of(0, 1, 2, 8), 3, 2, 2), {
    name: "RangeError",
    message: "Cannot pack the code at row 1, column 1 into 3 bits: it is 8",
  });
  assert.throws(() => packCodes(Uint8Array.of(1), 4, 1, 2), RangeError);
});
