import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { dequantizeHost, weightBytes } from "./host_weight.ts";
import {
  type HostMixedWeight,
  packMixedCodes,
  unpackMixedCodes,
  widthsFit,
} from "./mixed_weight.ts";

const random = new RandomStream(1, "mixed weight test");

function randomCodes(widths: Uint8Array, rows: number, groupSize: number): Uint8Array {
  const groups = widths.length;
  return Uint8Array.from({ length: rows * groups * groupSize }, (_, index) => {
    const width = widths[Math.floor(index / groupSize) % groups] as number;
    return Math.floor(random.uniform(index) * 2 ** width);
  });
}

Deno.test("codes of every width come back, in no more bits than they have", () => {
  for (const [widths, groupSize] of [[[1, 2, 3], 8], [[5, 3, 4, 4], 24], [[3], 16]] as const) {
    const [rows, tags] = [5, Uint8Array.from(widths)];
    const codes = randomCodes(tags, rows, groupSize);
    const packed = packMixedCodes(codes, tags, rows, groupSize);
    assert.equal(
      8 * packed.length,
      rows * groupSize * widths.reduce((sum: number, width) => sum + width, 0),
    );
    assert.deepEqual(unpackMixedCodes(packed, tags, rows, groupSize), codes);
  }
});

Deno.test("codes lie in the order of columns, lowest bit first", () => {
  // 8 codes of 3 bits are 3 bytes: 0b...011_010_001 and so on; docs/formats.md has this layout.
  const codes = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 0);
  const bits = [...codes].map((code) => [code & 1, code >> 1 & 1, code >> 2]).flat();
  const bytes = [0, 1, 2].map((byte) =>
    bits.slice(8 * byte, 8 * byte + 8).reduce((sum, bit, at) => sum + bit * 2 ** at, 0)
  );
  assert.deepEqual([...packMixedCodes(codes, Uint8Array.of(3), 1, 8)], bytes);
});

Deno.test("what does not fit is refused", () => {
  const pack = (code: number, groupSize: number) =>
    packMixedCodes(new Uint8Array(groupSize).fill(code), Uint8Array.of(2), 1, groupSize);
  assert.throws(() => pack(4, 8), /Cannot pack code 0 into 2 bits: it is 4/);
  assert.throws(() => pack(1, 12), /Groups of 12 codes/);
});

Deno.test("widths have the stated mean and none is far from it", () => {
  const fit = (...widths: number[]) => widthsFit(Uint8Array.from(widths), 2);
  assert.deepEqual([fit(2, 2), fit(1, 3, 2), fit(3, 1, 1, 3)], [true, true, true]);
  assert.deepEqual([fit(2, 3), fit(4, 1, 1), fit(0, 4), fit(2, 2, 1)], [
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("a value is scale * (code - zero) of its row and group; storage counts every byte", () => {
  const [rows, columns, blockColumns] = [3, 32, 8];
  const widths = Uint8Array.of(2, 1, 3, 2);
  const codes = randomCodes(widths, rows, blockColumns);
  const draw = (offset: number) =>
    Float32Array.from({ length: rows * 4 }, (_, index) => random.normal(1000 + offset + index));
  const weight: HostMixedWeight = {
    format: "mixed",
    rows,
    columns,
    bits: 2,
    blockRows: 1,
    blockColumns,
    widths,
    codes: packMixedCodes(codes, widths, rows, blockColumns),
    scales: draw(0),
    zeros: draw(100),
  };
  dequantizeHost(weight).forEach((value, index) => {
    const block = Math.floor(index / columns) * 4 + Math.floor(index % columns / blockColumns);
    const [scale, zero] = [weight.scales[block] as number, weight.zeros[block] as number];
    assert.equal(value, Math.fround(scale * ((codes[index] as number) - zero)));
  });
  assert.equal(weightBytes(weight), rows * columns * 2 / 8 + 2 * 4 * rows * 4 + 4);
});
