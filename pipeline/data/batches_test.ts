import assert from "node:assert/strict";
import fc from "fast-check";
import { batchAt, groupByLength } from "./batches.ts";
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

Deno.test("groupByLength() sorts pieces of 50 steps, longest first, and puts the longest row in front", () => {
  // As LengthGroupedSampler: 8 rows and 2 a step make pieces of 8 / (4 * 2) = 1 step.
  const shuffled = Uint32Array.of(6, 1, 0, 7, 4, 2, 5, 3);
  const lengths = Uint32Array.of(5, 3, 8, 1, 9, 2, 4, 7);
  const order = groupByLength(shuffled, lengths, 2);
  // Pieces 6 1, 7 0, 4 2, 5 3 sorted; then the longest, row 4, changes places with the first, row 6.
  assert.deepEqual([...order], [4, 1, 7, 0, 6, 2, 5, 3]);
});

Deno.test("property: groups are the shuffled rows in another order, sorted within pieces", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 900, size: "max" }),
      fc.integer({ min: 1, max: 4 }),
      (lengths, rows) => {
        const shuffled = Uint32Array.from(lengths.keys()).reverse();
        const order = groupByLength(shuffled, Uint32Array.from(lengths), rows);
        assert.deepEqual(order.toSorted(), shuffled.toSorted());
        const ordered = [...order].map((index) => lengths[index] ?? 0);
        assert.equal(ordered[0], Math.max(...lengths));
        const piece = rows * Math.max(1, Math.min(50, Math.floor(lengths.length / (4 * rows))));
        for (let first = 0; first < ordered.length; first += piece) {
          // The first of a piece may have changed places.
          const sorted = ordered.slice(first + 1, first + piece);
          assert.deepEqual(sorted, sorted.toSorted((left, right) => right - left));
        }
      },
    ),
    { seed: 7, numRuns: 100 },
  );
});

Deno.test("batchAt() gives steps rows of similar length, in an order of its own for every seed and epoch", () => {
  const lengths = Array.from({ length: 64 }, (_, index) => 1 + (index * 37) % 64);
  const dataset: Dataset = {
    size: 64,
    length: 64,
    tokens: 64 * 65 / 2,
    example: (index) => {
      const size = lengths[index] ?? 0;
      return { tokens: new Uint32Array(size), targets: new Uint8Array(size) };
    },
  };
  const epoch = (number: number, seed: number) =>
    Array.from(
      { length: 16 },
      (_, step) =>
        batchAt(dataset, {
          batchSize: 4,
          seed,
          shuffle: true,
          groupRows: 4,
          step: 16 * number + step,
        })
          .map(({ tokens }) => tokens.length),
    );
  const padding = (batches: number[][]) =>
    batches.reduce((sum, batch) => sum + 4 * Math.max(...batch), 0) / dataset.tokens;
  assert.deepEqual(epoch(0, 1).flat().sort(), lengths.toSorted());
  assert.ok(padding(epoch(0, 1)) < 1.3, `${padding(epoch(0, 1))} tokens computed for one`);
  assert.notDeepEqual(epoch(0, 1), epoch(1, 1));
  assert.notDeepEqual(epoch(0, 1), epoch(0, 2));
  assert.deepEqual(epoch(0, 1), epoch(0, 1));
});

Deno.test("batchAt() does not take the order of other groups for its own", () => {
  const dataset: Dataset = {
    size: 16,
    length: 16,
    tokens: 16 * 17 / 2,
    example: (index) => ({
      tokens: new Uint32Array(index + 1),
      targets: new Uint8Array(index + 1),
    }),
  };
  const lengths = (groups: { groupRows?: number }) =>
    batchAt(dataset, { batchSize: 16, seed: 1, shuffle: true, step: 0, ...groups })
      .map(({ tokens }) => tokens.length);
  const [plain, grouped] = [lengths({}), lengths({ groupRows: 16 })];
  assert.deepEqual(grouped, plain.toSorted((left, right) => right - left));
  assert.deepEqual(lengths({}), plain);
});
