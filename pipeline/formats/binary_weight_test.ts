// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { packCodes } from "../../kernels/packing.ts";
import { RandomStream } from "../../kernels/random.ts";
import { countSalient, type HostBinaryWeight } from "./binary_weight.ts";
import { dequantizeHost, weightBytes } from "./host_weight.ts";

const [ROWS, COLUMNS, BLOCK] = [3, 48, 16];
const SALIENT = [0, 7, 8, 33];
const random = new RandomStream(1, "binary weight test");
const codes = Uint8Array.from(
  { length: ROWS * COLUMNS },
  (_, index) => Math.floor(4 * random.uniform(index)),
);

function weightOf(withMeans: boolean): HostBinaryWeight {
  const salient = new Uint8Array(COLUMNS / 8);
  for (const column of SALIENT) {
    salient[column >> 3] = (salient[column >> 3] ?? 0) | 1 << column % 8;
  }
  const blocks = ROWS * COLUMNS / BLOCK;
  return {
    format: "binary",
    rows: ROWS,
    columns: COLUMNS,
    blockColumns: BLOCK,
    codes: packCodes(codes, 2, ROWS, COLUMNS),
    salient,
    scales: Float16Array.from({ length: 4 * blocks }, (_, index) => random.uniform(500 + index)),
    means: withMeans
      ? Float16Array.from({ length: 3 * blocks }, (_, index) => random.normal(900 + index))
      : null,
  };
}

for (const withMeans of [false, true]) {
  Deno.test(`two terms in salient columns, one elsewhere; means: ${withMeans}`, () => {
    const weight = weightOf(withMeans);
    assert.equal(countSalient(weight), SALIENT.length);
    const values = dequantizeHost(weight);
    values.forEach((value, index) => {
      const column = index % COLUMNS;
      const block = Math.floor(index / COLUMNS) * 3 + Math.floor(column / BLOCK);
      const scales = [...weight.scales.slice(4 * block, 4 * block + 4)] as number[];
      const means = [...weight.means?.slice(3 * block, 3 * block + 3) ?? [0, 0, 0]] as number[];
      const [low, high] = [codes[index]! & 1, codes[index]! >> 1];
      const expected = SALIENT.includes(column)
        ? means[0]! + (low ? scales[0]! : -scales[0]!) + (high ? scales[1]! : -scales[1]!)
        : means[1 + high]! + (low ? scales[2 + high]! : -scales[2 + high]!);
      // One rounding to f32 of sums below 8.
      assert(Math.abs(value - expected) <= 2 ** -22, `${index}: ${value}, ${expected}`);
    });
  });
}

Deno.test("storage counts signs, flags, scales and means", () => {
  // A row is two chunks of 32 columns at 2 bits; 9 row blocks have 4 scales and 3 means of 2 bytes.
  const bytes = 4 * ROWS * 2 * 2 + COLUMNS / 8 + 2 * 4 * 9;
  assert.equal(weightBytes(weightOf(false)), bytes);
  assert.equal(weightBytes(weightOf(true)), bytes + 2 * 3 * 9);
});
