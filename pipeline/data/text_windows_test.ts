import assert from "node:assert/strict";
import fc from "fast-check";
import { concatenate, TextWindows } from "./text_windows.ts";

Deno.test("TextWindows are the stream in pieces, less than one window dropped", () => {
  fc.assert(
    fc.property(
      fc.uint32Array({ maxLength: 60 }),
      fc.integer({ min: 2, max: 9 }),
      (all, length) => {
        const windows = new TextWindows(all, length);
        const rows = Array.from({ length: windows.size }, (_, index) => windows.example(index));
        const joined = rows.flatMap(({ tokens }) => [...tokens]);
        assert.deepEqual(joined, [...all].slice(0, joined.length));
        assert.ok(all.length - joined.length < length);
        assert.equal(windows.tokens, joined.length);
        for (const { tokens, targets } of rows) {
          assert.equal(tokens.length, length);
          assert.deepEqual([...targets], [0, ...Array<number>(length - 1).fill(1)]);
        }
        assert.throws(() => windows.example(windows.size), RangeError);
      },
    ),
    { seed: 6, numRuns: 200 },
  );
});

Deno.test("TextWindows refuses windows without a target", () => {
  assert.throws(() => new TextWindows(new Uint32Array(9), 1), /windows of 1 tokens/);
});

Deno.test("concatenate() keeps order and empty documents", () => {
  const documents = [Uint32Array.of(1, 2), new Uint32Array(), Uint32Array.of(3)];
  assert.deepEqual([...concatenate(documents)], [1, 2, 3]);
});
