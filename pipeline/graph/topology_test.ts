import assert from "node:assert/strict";
import fc from "fast-check";
import { findCycles, topologicalOrder } from "./topology.ts";

const SEEDED = { seed: 21 };
const NAMES = ["a", "b", "c", "d", "e", "f"];
const edges = fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(...NAMES)), {
  maxLength: 12,
});

function graphOf(pairs: readonly (readonly [string, string])[]): Map<string, string[]> {
  const reads = new Map(NAMES.map((name) => [name, [] as string[]]));
  for (const [node, read] of pairs) reads.get(node)?.push(read);
  return reads;
}

Deno.test("topologicalOrder() puts every node behind those it reads, and keeps the order given", () => {
  const forward = edges.map((pairs) => pairs.filter(([node, read]) => node < read));
  fc.assert(
    fc.property(forward, (pairs) => {
      const order = topologicalOrder(graphOf(pairs));
      assert.deepEqual(order.toSorted(), NAMES);
      for (const [node, read] of pairs) assert.ok(order.indexOf(read) < order.indexOf(node));
    }),
    SEEDED,
  );
  assert.deepEqual(topologicalOrder(graphOf([])), NAMES);
  assert.deepEqual(topologicalOrder(graphOf([["a", "f"]])), ["b", "c", "d", "e", "f", "a"]);
});

Deno.test("findCycles() gives closed paths along edges, and none exactly if there is an order", () => {
  fc.assert(
    fc.property(edges, (pairs) => {
      const reads = graphOf(pairs);
      const cycles = findCycles(reads);
      assert.equal(cycles.length === 0, topologicalOrder(reads).length === NAMES.length);
      for (const cycle of cycles) {
        assert.equal(cycle[0], cycle.at(-1));
        for (const [index, node] of cycle.slice(1).entries()) {
          assert.ok(reads.get(cycle[index] ?? "")?.includes(node));
        }
      }
    }),
    SEEDED,
  );
});
