import assert from "node:assert/strict";
import fc from "fast-check";
import { rollingWindows } from "./rolling_windows.ts";

const PREFIX = 1000;

function ascending(count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, index) => index);
}

Deno.test("property: every token is predicted once, from as many as fit", () => {
  fc.assert(
    fc.property(fc.nat(60), fc.integer({ min: 1, max: 12 }), (count, maxLength) => {
      const text = ascending(count);
      const windows = rollingWindows(text, PREFIX, maxLength);
      assert.deepEqual(windows.flatMap(({ continuation }) => [...continuation]), [...text]);
      for (const [index, { context, continuation }] of windows.entries()) {
        const size = context.length + continuation.length;
        assert.ok(context.length >= 1 && continuation.length >= 1 && size <= maxLength + 1);
        // What is before the continuation is what the text has before it.
        const first = continuation[0] as number;
        const before = index === 0 ? [PREFIX] : [...text.subarray(first - context.length, first)];
        assert.deepEqual([...context], before);
        if (index > 0) assert.equal(size, maxLength + 1, "later windows are full");
      }
    }),
    { seed: 5, numRuns: 300 },
  );
});

Deno.test("a text of no tokens has no window", () => {
  assert.deepEqual(rollingWindows(ascending(0), PREFIX, 4), []);
});
