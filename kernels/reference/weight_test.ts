// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { DYNAMIC_MAP, NF4_LEVELS } from "../nf4.ts";
import { packCodes } from "../packing.ts";
import { randomFloats, randomIntegers } from "../testing/arrays.ts";
import { assertClose } from "../testing/gradient.ts";
import { dequantizeAbsmax, dequantizeInteger, dequantizeNf4 } from "./weight.ts";

Deno.test("integer codes are moved by the zero and scaled, block by block in two dimensions", () => {
  const codes = packCodes(Uint8Array.of(0, 1, 2, 3, 3, 2, 1, 0), 2, 2, 4);
  const rowBlocks = dequantizeInteger(
    codes,
    Float64Array.of(1, 2, 4, 8),
    Float64Array.of(0, 1, 1.5, 2),
    { rows: 2, columns: 4, bits: 2, blockRows: 1, blockColumns: 2 },
  );
  assert.deepEqual([...rowBlocks], [0, 1, 2, 4, 6, 2, -8, -16]);
  const squareBlocks = dequantizeInteger(
    codes,
    Float64Array.of(1, 2),
    Float64Array.of(0.5, 1),
    { rows: 2, columns: 4, bits: 2, blockRows: 2, blockColumns: 2 },
  );
  assert.deepEqual([...squareBlocks], [-0.5, 0.5, 2, 4, 2.5, 1.5, 0, -2]);
});

Deno.test("a zero moves every weight of its block by the same step, as merging needs", () => {
  const layout = { rows: 4, columns: 12, bits: 3, blockRows: 2, blockColumns: 4 } as const;
  const codes = packCodes(Uint8Array.from(randomIntegers("codes", 48, 8)), 3, 4, 12);
  const scales = Float64Array.from(randomFloats("scales", 6, 0.1, 1));
  const zeros = Float64Array.from(randomFloats("zeros", 6, 0, 7));
  const before = dequantizeInteger(codes, scales, zeros, layout);
  zeros[4]! -= 0.25; // block row 1, block column 1
  const change = dequantizeInteger(codes, scales, zeros, layout).map((w, i) => w - before[i]!);
  const wanted = change.map((_, i) => {
    const [row, column] = [Math.floor(i / 12), i % 12];
    return row >= 2 && column >= 4 && column < 8 ? 0.25 * scales[4]! : 0;
  });
  assertClose(change, wanted, 1e-12);
});

Deno.test("NF4 codes select levels of the block maximum, blocks row-major", () => {
  const values = Uint8Array.from({ length: 256 }, (_, i) => i % 16);
  const absmax = Float64Array.of(1, 2, 4, 8);
  const weight = dequantizeNf4(packCodes(values, 4, 2, 128), absmax, 2, 128);
  weight.forEach((w, i) => assert.equal(w, NF4_LEVELS[i % 16]! * 2 ** Math.floor(i / 64)));
});

Deno.test("double-quantized maxima are map values times the scale of 256, plus the mean", () => {
  const bytes = Uint8Array.from({ length: 260 }, (_, i) => i % 256);
  const words = new Uint32Array(bytes.buffer); // little-endian, as every platform of WebGPU
  const absmax = dequantizeAbsmax(words, Float64Array.of(0.5, 2), 3, 258);
  assert.equal(absmax.length, 258);
  absmax.forEach((value, i) => {
    assert.equal(value, DYNAMIC_MAP[i % 256]! * (i < 256 ? 0.5 : 2) + 3);
  });
});
