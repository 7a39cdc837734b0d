// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose } from "../testing/gradient.ts";
import { attention } from "./attention.ts";
import { appendToCache, cachedAttention } from "./cache.ts";

const LENGTH = 7;
const CAPACITY = 9;
const ROWS = 3;
const SIZES = { heads: 4, kvHeads: 2, headDim: 4, scale: 0.5 };
const WIDTH = SIZES.kvHeads * SIZES.headDim;
const QUERY_WIDTH = SIZES.heads * SIZES.headDim;

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

for (const window of [CAPACITY, 3]) {
  for (const pieces of [[7], [3, 4], [1, 1, 1, 1, 1, 1, 1], [2, 5]]) {
    Deno.test(`a cache filled in pieces of ${pieces} gives the attention of the whole, window ${window}`, () => {
      const queries = floats("queries", LENGTH * QUERY_WIDTH);
      const keys = floats("keys", LENGTH * WIDTH);
      const values = floats("values", LENGTH * WIDTH);
      const expected = new Float64Array(LENGTH * QUERY_WIDTH);
      const whole = { ...SIZES, batch: 1, length: LENGTH, window };
      attention(queries, keys, values, expected, new Float64Array(LENGTH * 4), whole);

      const slots = Uint32Array.of(2);
      const cache = {
        keys: new Float64Array(ROWS * CAPACITY * WIDTH).fill(NaN),
        values: new Float64Array(ROWS * CAPACITY * WIDTH).fill(NaN),
        slots,
        positions: Uint32Array.of(0),
      };
      const found = new Float64Array(LENGTH * QUERY_WIDTH);
      for (const length of pieces) {
        const start = cache.positions[0]!;
        const part = (data: Float64Array, width: number) =>
          data.subarray(start * width, (start + length) * width);
        const dimensions = { batch: 1, length, capacity: CAPACITY, width: WIDTH };
        appendToCache(part(keys, WIDTH), cache.keys, cache, dimensions);
        appendToCache(part(values, WIDTH), cache.values, cache, dimensions);
        const sizes = { ...SIZES, batch: 1, length, window, capacity: CAPACITY };
        cachedAttention(part(queries, QUERY_WIDTH), cache, part(found, QUERY_WIDTH), sizes);
        cache.positions[0]! += length;
      }
      assertClose(found, expected);
      const written = cache.keys.filter((value) => !Number.isNaN(value)).length;
      assert.equal(written, LENGTH * WIDTH, "other rows and positions stay");
    });
  }
}

Deno.test("tokens beyond the cache are written nowhere and see its end", () => {
  const cache = {
    keys: floats("keys", ROWS * CAPACITY * WIDTH),
    values: floats("values", ROWS * CAPACITY * WIDTH),
    slots: Uint32Array.of(0),
    positions: Uint32Array.of(CAPACITY - 1),
  };
  const before = cache.keys.slice();
  const input = floats("input", 2 * WIDTH);
  appendToCache(input, cache.keys, cache, {
    batch: 1,
    length: 2,
    capacity: CAPACITY,
    width: WIDTH,
  });
  before.set(input.subarray(0, WIDTH), (CAPACITY - 1) * WIDTH);
  assert.deepEqual(cache.keys, before);

  const query = floats("query", QUERY_WIDTH);
  const queries = Float64Array.of(...query, ...query);
  const output = new Float64Array(2 * QUERY_WIDTH);
  const sizes = { ...SIZES, batch: 1, length: 2, window: 4, capacity: CAPACITY };
  cachedAttention(queries, cache, output, sizes);
  assert.deepEqual(output.slice(QUERY_WIDTH), output.slice(0, QUERY_WIDTH));
});
