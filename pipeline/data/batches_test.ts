import assert from "node:assert/strict";
import fc from "fast-check";
import { batchAt } from "./batches.ts";
import type { Dataset } from "./dataset.ts";

/** Row `i` is the one token `i`. */
function numbered(size: number): Dataset {
  return {
    size,
    length: 1,
    tokens: size,
    example: (index) => ({ tokens: Uint32Array.of(index), targets: new Uint8Array(1) }),
  };
}

function rowsOf(
  dataset: Dataset,
  batchSize: number,
  steps: number,
  options: { seed: number; shuffle: boolean },
): number[] {
  return Array.from(
    { length: steps },
    (_, step) =>
      batchAt(dataset, { batchSize, step, ...options }).map(({ tokens }) => tokens[0] ?? -1),
  ).flat();
}

Deno.test("batchAt() without shuffling goes round and round in order", () => {
  assert.deepEqual(rowsOf(numbered(5), 3, 3, { seed: 1, shuffle: false }), [
    ...[0, 1, 2, 3, 4, 0, 1, 2, 3],
  ]);
});

Deno.test("batchAt() shuffles every row into every epoch once, whatever the batch size", () => {
  const sizes = {
    size: fc.integer({ min: 1, max: 40 }),
    batchSize: fc.integer({ min: 1, max: 9 }),
  };
  fc.assert(
    fc.property(fc.record({ ...sizes, seed: fc.nat() }), ({ size, batchSize, seed }) => {
      const dataset = numbered(size);
      const rows = rowsOf(dataset, batchSize, Math.ceil(3 * size / batchSize), {
        seed,
        shuffle: true,
      });
      for (let epoch = 0; epoch < 3; epoch++) {
        const seen = rows.slice(epoch * size, (epoch + 1) * size).sort((a, b) => a - b);
        assert.deepEqual(seen, Array.from({ length: size }, (_, index) => index));
      }
      assert.deepEqual(rowsOf(dataset, size, 3, { seed, shuffle: true }), rows.slice(0, 3 * size));
    }),
    { seed: 4, numRuns: 100 },
  );
});

Deno.test("batchAt() gives a step the same rows in any order of asking", () => {
  const options = { batchSize: 4, seed: 9, shuffle: true };
  const tokensAt = (dataset: Dataset, step: number) =>
    batchAt(dataset, { ...options, step }).map(({ tokens }) => tokens[0]);
  const forwards = numbered(10);
  const expected = Array.from({ length: 12 }, (_, step) => tokensAt(forwards, step));
  const backwards = numbered(10);
  for (let step = 11; step >= 0; step--) {
    assert.deepEqual(tokensAt(backwards, step), expected[step]);
  }
});

Deno.test("batchAt() orders epochs and seeds differently", () => {
  const dataset = numbered(50);
  const epochs = rowsOf(dataset, 50, 2, { seed: 1, shuffle: true });
  const other = rowsOf(dataset, 50, 1, { seed: 2, shuffle: true });
  assert.notDeepEqual(epochs.slice(0, 50), epochs.slice(50));
  assert.notDeepEqual(epochs.slice(0, 50), other);
  assert.throws(
    () => batchAt(numbered(0), { batchSize: 1, seed: 1, shuffle: true, step: 0 }),
    RangeError,
  );
});
