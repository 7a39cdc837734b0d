import assert from "node:assert/strict";
import { RandomStream } from "../../../kernels/random.ts";
import { PairTable } from "./pair_table.ts";

Deno.test("PairTable keeps what a Map keeps, through growing and changing", () => {
  const random = new RandomStream(1, "pairs");
  const table = new PairTable();
  const wanted = new Map<string, number>();
  for (let i = 0; i < 5000; i++) {
    const [left, right] = [0, 1].map((part) => Math.floor(random.uniform(2 * i + part) * 60));
    // Symbols reach beyond 2^24, and few differ in their low bits.
    const pair = [(left ?? 0) * 2 ** 19, (right ?? 0) * 2 ** 10] as const;
    table.set(...pair, i);
    wanted.set(pair.join(), i);
  }
  assert.equal(table.size, wanted.size);
  for (let left = 0; left < 60; left++) {
    for (let right = 0; right < 60; right++) {
      const pair = [left * 2 ** 19, right * 2 ** 10] as const;
      assert.equal(table.get(...pair), wanted.get(pair.join()) ?? -1);
    }
  }
});
