import assert from "node:assert/strict";
import fc from "fast-check";
import { rollingWindows, wholeWindows } from "./windows.ts";

const ascending = (count: number) => Uint32Array.from({ length: count }, (_, index) => index + 1);

Deno.test("property: rolling windows score every token once, the last row in full context", () => {
  fc.assert(
    fc.property(fc.nat(40), fc.integer({ min: 1, max: 9 }), (count, window) => {
      const rows = rollingWindows(ascending(count), 0, window);
      const scored = rows.flatMap(({ tokens, targets }) =>
        [...tokens].filter((_, position) => targets[position] === 1)
      );
      assert.deepEqual(scored, [...ascending(count)]);
      for (const { tokens, targets } of rows) {
        assert.equal(targets[0], 0);
        assert.equal(tokens.length, Math.min(window, count) + 1);
      }
    }),
    { seed: 4, numRuns: 200 },
  );
});

Deno.test("whole windows drop what is left over", () => {
  const rows = wholeWindows(ascending(8), 3);
  assert.deepEqual(rows.map(({ tokens, targets }) => `${tokens} ${targets}`), [
    "1,2,3 0,1,1",
    "4,5,6 0,1,1",
  ]);
  assert.deepEqual(wholeWindows(ascending(2), 3), []);
});
