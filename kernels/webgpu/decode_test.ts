import assert from "node:assert/strict";
import type { IntegerBits, IntegerWeight, Nf4Weight } from "../device.ts";
import { DYNAMIC_MAP } from "../nf4.ts";
import { codeWords, packCodes } from "../packing.ts";
import { randomIntegers } from "../testing/arrays.ts";
import { placeOn } from "../testing/weights.ts";
import { openWebgpu } from "./adapter.ts";

Deno.test("all 256 codes of double quantization decode to the dynamic map", async () => {
  const device = await openWebgpu();
  const place = placeOn(device);
  const [rows, columns] = [4, 64 * 64];
  // Code 15 is the level 1, so that every weight is the absmax of its block: block b has code b.
  const weight: Nf4Weight = {
    format: "nf4",
    rows,
    columns,
    codes: place(
      "u32",
      [rows, codeWords(4, columns)],
      new Uint32Array(rows * codeWords(4, columns)).fill(0xffffffff),
      "codes",
    ),
    absmax: {
      kind: "double",
      codes: place(
        "u32",
        [64],
        new Uint32Array(Uint8Array.from({ length: 256 }, (_, code) => code).buffer),
        "absmax codes",
      ),
      scales: place("f32", [1], Float32Array.of(3), "absmax scales"),
      offset: place("f32", [1], Float32Array.of(0), "absmax offset"),
    },
  };
  const output = device.tensor("f32", [rows, columns], "output");
  device.run(
    device.record("dequantize", (operations) => operations.dequantize({ weight, output })),
  );
  const found = await device.readFloats(output);
  for (const [code, value] of DYNAMIC_MAP.entries()) {
    const expected = 3 * value;
    for (const index of [64 * code, 64 * code + 63]) {
      const error = Math.abs((found[index] ?? NaN) - expected);
      assert.ok(
        error <= 4 * 2 ** -24 * Math.abs(expected),
        `code ${code}: ${found[index]} instead of ${expected}`,
      );
    }
  }
  device.close();
});

Deno.test("integer codes decode exactly, in octets that end with the row or before it", async () => {
  const device = await openWebgpu();
  const place = placeOn(device);
  for (const bits of [1, 2, 3, 4, 8] satisfies IntegerBits[]) {
    for (const columns of [4, 36, 72]) {
      const rows = 5;
      const codes = Uint8Array.from(
        randomIntegers(`${bits} ${columns}`, rows * columns, 2 ** bits),
      );
      const blocks = [rows, columns / 4];
      const count = rows * columns / 4;
      const weight: IntegerWeight = {
        format: "integer",
        rows,
        columns,
        bits,
        blockRows: 1,
        blockColumns: 4,
        codes: place(
          "u32",
          [rows, codeWords(bits, columns)],
          packCodes(codes, bits, rows, columns),
          "codes",
        ),
        scales: place("f32", blocks, new Float32Array(count).fill(1), "scales"),
        zeros: place("f32", blocks, new Float32Array(count), "zeros"),
      };
      const output = device.tensor("f32", [rows, columns], "output");
      device.run(
        device.record("dequantize", (operations) => operations.dequantize({ weight, output })),
      );
      assert.deepEqual(
        Array.from(await device.readFloats(output)),
        Array.from(codes),
        `${bits} bits, ${columns} columns`,
      );
    }
  }
  device.close();
});
