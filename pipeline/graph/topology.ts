/**
 * The order in which the nodes of a graph can run.
 *
 * @module
 */

/**
 * Every node after all nodes that it reads, else in the order given.
 *
 * @param reads Node to the nodes it reads; names that are no nodes are passed over.
 * @returns The order; nodes on a cycle, and those that read them, are missing.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const reads = new Map([["tuned", ["base"]], ["base", []], ["other", []]]);
 * assert.deepEqual(topologicalOrder(reads), ["base", "tuned", "other"]);
 * ```
 */
export function topologicalOrder(reads: ReadonlyMap<string, readonly string[]>): string[] {
  const order: string[] = [];
  const remaining = new Set(reads.keys());
  for (;;) {
    const next = [...remaining].find((node) =>
      (reads.get(node) ?? []).every((name) => !remaining.has(name))
    );
    if (next === undefined) break;
    order.push(next);
    remaining.delete(next);
  }
  return order;
}

/**
 * The cycles of a graph, one for each edge that closes one, each as a closed path.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.deepEqual(findCycles(new Map([["a", ["b"]], ["b", ["a"]]])), [["a", "b", "a"]]);
 * ```
 */
export function findCycles(reads: ReadonlyMap<string, readonly string[]>): string[][] {
  const cycles: string[][] = [];
  const finished = new Set<string>();
  const path: string[] = [];
  function visit(node: string): void {
    if (finished.has(node) || !reads.has(node)) return;
    const start = path.indexOf(node);
    if (start >= 0) {
      cycles.push([...path.slice(start), node]);
      return;
    }
    path.push(node);
    for (const next of reads.get(node) ?? []) visit(next);
    path.pop();
    finished.add(node);
  }
  for (const node of reads.keys()) visit(node);
  return cycles;
}
