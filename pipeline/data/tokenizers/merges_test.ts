import assert from "node:assert/strict";
import fc from "fast-check";
import { Merges } from "./merges.ts";

/** The definition: again and again, the leftmost of the pairs of the lowest rank. */
function mergeByDefinition(
  symbols: readonly number[],
  rules: ReadonlyMap<string, { readonly rank: number; readonly symbol: number }>,
): number[] {
  const merged = [...symbols];
  for (;;) {
    const found = merged.slice(1).map((right, left) => ({
      left,
      rule: rules.get(`${merged[left]},${right}`),
    })).filter(({ rule }) => rule !== undefined)
      .sort((one, other) => (one.rule?.rank ?? 0) - (other.rule?.rank ?? 0))[0];
    if (found?.rule === undefined) return merged;
    merged.splice(found.left, 2, found.rule.symbol);
  }
}

Deno.test("Merges joins what the definition joins, also where ranks are equal", () => {
  const pair = fc.tuple(fc.nat(5), fc.nat(5));
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(pair, fc.nat(3)), { selector: ([pair]) => pair.join() }),
      fc.array(fc.nat(5), { maxLength: 30 }),
      (list, symbols) => {
        const merges = new Merges();
        const rules = new Map<string, { rank: number; symbol: number }>();
        for (const [index, [[left, right], rank]] of list.entries()) {
          // Symbols never come back: a merge makes a longer one.
          merges.add(left, right, rank, 6 + index);
          rules.set(`${left},${right}`, { rank, symbol: 6 + index });
          merges.add(6 + index, left, rank, 100 + index);
          rules.set(`${6 + index},${left}`, { rank, symbol: 100 + index });
        }
        assert.deepEqual(merges.apply(symbols), mergeByDefinition(symbols, rules));
      },
    ),
    { seed: 4, numRuns: 1000 },
  );
});

Deno.test("Merges.addSplits() joins any two parts of a token", () => {
  const ids = new Map([["a", 0], ["b", 1], ["ab", 2], ["ba", 3], ["aba", 4]]);
  const merges = new Merges();
  for (const [token, id] of ids) merges.addSplits(token, id, id, (part) => ids.get(part));
  assert.equal(merges.size, 4);
  assert.deepEqual(merges.apply([0, 1, 0]), [4]);
  assert.deepEqual(merges.apply([1, 0, 1, 0]), [1, 4]);
});
