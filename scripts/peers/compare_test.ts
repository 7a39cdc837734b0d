import assert from "node:assert/strict";
import { compare, quartiles } from "./compare.ts";

/** Two programs on a machine whose clock stretches with the number of samples taken. */
function machine(drift: (sample: number) => number) {
  const log: string[] = [];
  let samples = 0;
  const timer = (name: string, secondsOfCall: number) => (calls: number) => {
    log.push(`${name}${calls}`);
    return Promise.resolve(calls * secondsOfCall * drift(samples++));
  };
  return { log, timer };
}

Deno.test("compare() warms up, then measures A, B, B, A in every round", async () => {
  const { log, timer } = machine(() => 1);
  const effort = { rounds: 2, sampleSeconds: 0.4 };
  const { first, second, ratios } = await compare(timer("a", 0.1), timer("b", 0.3), effort);
  assert.deepEqual(log.slice(0, 4), ["a1", "a1", "b1", "b1"]);
  assert.deepEqual(log.slice(4), ["a4", "b2", "b2", "a4", "a4", "b2", "b2", "a4"]);
  assert.deepEqual([first.length, second.length], [4, 4]);
  for (const ratio of ratios) assert.ok(Math.abs(ratio - 3) < 1e-12);
});

Deno.test("compare() is not misled by a machine that slows down steadily", async () => {
  const { timer } = machine((sample) => 1 + 0.1 * sample);
  const effort = { rounds: 3, sampleSeconds: 0 };
  const { ratios } = await compare(timer("a", 0.1), timer("b", 0.2), effort);
  assert.equal(ratios.length, 3);
  for (const ratio of ratios) assert.ok(Math.abs(ratio - 2) < 1e-12, `${ratio}`);
});

Deno.test("compare() measures slow programs less often", async () => {
  const { timer } = machine(() => 1);
  const { first, ratios } = await compare(timer("a", 1), timer("b", 6));
  assert.deepEqual([first.length, ratios], [4, [6, 6]]);
});

Deno.test("quartiles() are linear between the nearest values", () => {
  assert.deepEqual(quartiles([4, 1, 3, 2]), { low: 1.75, median: 2.5, high: 3.25 });
  assert.deepEqual(quartiles([7]), { low: 7, median: 7, high: 7 });
});
