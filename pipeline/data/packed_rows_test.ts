import assert from "node:assert/strict";
import fc from "fast-check";
import type { Dataset, Example } from "./dataset.ts";
import { PackedRows } from "./packed_rows.ts";

/** Examples whose tokens say where they come from: 100 times the example, plus the position. */
function examplesOf(lengths: readonly number[], length: number): Dataset {
  const example = (index: number): Example => {
    const size = lengths[index] ?? 0;
    return {
      tokens: Uint32Array.from({ length: size }, (_, position) => 100 * index + position),
      // Masks differ from example to example, and say nothing of the first token that counts.
      targets: Uint8Array.from({ length: size }, (_, position) => (index + position) % 3 ? 1 : 0),
    };
  };
  const tokens = lengths.reduce((sum, size) => sum + size, 0);
  return { size: lengths.length, length, tokens, remarks: ["2 rows were cut"], example };
}

function rowsOf(packed: PackedRows): Example[] {
  return Array.from({ length: packed.size }, (_, index) => packed.example(index));
}

const LENGTHS = fc.integer({ min: 1, max: 30 }).chain((length) =>
  fc.record({
    length: fc.constant(length),
    lengths: fc.array(fc.integer({ min: 1, max: length }), { minLength: 1, maxLength: 60 }),
  })
);

Deno.test("property: rows are a partition of the examples, whole, with their masks", () => {
  fc.assert(
    fc.property(LENGTHS, ({ length, lengths }) => {
      const dataset = examplesOf(lengths, length);
      const packed = new PackedRows(dataset);
      assert.equal(packed.tokens, dataset.tokens);
      const found: number[] = [];
      for (const { tokens, targets, starts = [] } of rowsOf(packed)) {
        assert.ok(tokens.length <= length);
        assert.equal(starts[0], 0);
        starts.forEach((start, number) => {
          const end = starts[number + 1] ?? tokens.length;
          const index = Math.floor((tokens[start] ?? 0) / 100);
          const example = dataset.example(index);
          assert.deepEqual(tokens.subarray(start, end), example.tokens);
          assert.deepEqual([...targets.subarray(start, end)], [0, ...example.targets.subarray(1)]);
          found.push(index);
        });
      }
      assert.deepEqual(found.toSorted((a, b) => a - b), [...lengths.keys()]);
    }),
    { seed: 5, numRuns: 200 },
  );
});

Deno.test("property: no two rows could be one", () => {
  fc.assert(
    fc.property(LENGTHS, ({ length, lengths }) => {
      const [first = length, second = length] = rowsOf(new PackedRows(examplesOf(lengths, length)))
        .map(({ tokens }) => tokens.length).sort((left, right) => left - right);
      assert.ok(first + second > length, `${first} and ${second} tokens fit into ${length}`);
    }),
    { seed: 6, numRuns: 200 },
  );
});

Deno.test("the longest come first, each where it leaves the least room", () => {
  const lengths = [4, 10, 3, 6, 7, 1];
  const rows = rowsOf(new PackedRows(examplesOf(lengths, 10)))
    .map(({ tokens, starts }) => starts?.map((start) => Math.floor((tokens[start] ?? 0) / 100)));
  // 10; 7, then 3 and not 4; 6, then 4; 1 opens a row of its own.
  assert.deepEqual(rows, [[0, 3], [1], [2, 4], [5]]);
});

Deno.test("rows say how full they are, after what the data says", () => {
  const packed = new PackedRows(examplesOf(Array<number>(2500).fill(3), 10));
  assert.deepEqual(packed.remarks, [
    "2 rows were cut",
    "2,500 examples in 834 rows of 10 tokens, 89.9 % filled",
  ]);
});

Deno.test("what does not fit is refused, never cut", () => {
  assert.throws(() => new PackedRows(examplesOf([3, 11], 10)), {
    name: "RangeError",
    message: "Example 1 has 11 tokens; a row has room for 10",
  });
  assert.throws(() => new PackedRows(examplesOf([3], 10)).example(1), /There is no row 1/);
});
