import assert from "node:assert/strict";
import { keyOf, RandomStream, threefry } from "./random.ts";

Deno.test("threefry gives the known answers of the Random123 distribution", () => {
  const ones = 0xffffffff;
  assert.deepEqual(threefry([0, 0], [0, 0]), [0x6b200159, 0x99ba4efe]);
  assert.deepEqual(threefry([ones, ones], [ones, ones]), [0x1cb996fc, 0xbb002be7]);
  assert.deepEqual(
    threefry([0x13198a2e, 0x03707344], [0x243f6a88, 0x85a308d3]),
    [0xc4923a9c, 0x483df7a0],
  );
});

Deno.test("threefry reads its words modulo 2^32", () => {
  assert.deepEqual(threefry([-1, -1], [-1, -1]), [0x1cb996fc, 0xbb002be7]);
});

Deno.test("keys differ between seeds, purposes and indices", () => {
  const keys = [
    keyOf(1, "shuffle"),
    keyOf(2, "shuffle"),
    keyOf(1 + 2 ** 32, "shuffle"),
    keyOf(1, "dropout"),
    keyOf(1, "shuffle", 1),
  ];
  assert.equal(new Set(keys.map(String)).size, keys.length);
  assert.deepEqual(keyOf(1, "shuffle"), keys[0]);
});

Deno.test("draws do not depend on their order", () => {
  const stream = new RandomStream(7, "order");
  const forward = [0, 1, 2, 2 ** 40].map((index) => stream.uniform(index));
  const again = new RandomStream(7, "order");
  const backward = [2 ** 40, 2, 1, 0].map((index) => again.uniform(index));
  assert.deepEqual(backward.reverse(), forward);
  assert.equal(new Set(forward).size, 4, "an index above 2^32 is another draw");
});

Deno.test("uniform draws fill [0, 1) evenly", () => {
  const stream = new RandomStream(3, "uniform");
  const count = 20_000;
  const bins = new Array<number>(20).fill(0);
  for (let i = 0; i < count; i++) {
    const draw = stream.uniform(i);
    assert.ok(draw >= 0 && draw < 1);
    bins[Math.floor(draw * 20)] = (bins[Math.floor(draw * 20)] ?? 0) + 1;
  }
  // Chi-squared with 19 degrees of freedom exceeds 43.8 once in a thousand seeds.
  const expected = count / 20;
  const chiSquared = bins.reduce((sum, bin) => sum + (bin - expected) ** 2 / expected, 0);
  assert.ok(chiSquared < 43.8, `chi-squared is ${chiSquared}`);
});

Deno.test("normal draws have the moments of a standard normal", () => {
  const stream = new RandomStream(3, "normal");
  const count = 20_000;
  const moments = [0, 0, 0, 0];
  for (let i = 0; i < count; i++) {
    const draw = stream.normal(i);
    for (let power = 1; power <= 4; power++) {
      moments[power - 1] = (moments[power - 1] ?? 0) + draw ** power / count;
    }
  }
  // Standard errors: 1, sqrt 2, sqrt 15 and sqrt 96 over sqrt(count); four of them are allowed.
  [0, 1, 0, 3].forEach((wanted, power) => {
    const error = Math.sqrt([1, 2, 15, 96][power] ?? 0) / Math.sqrt(count);
    assert.ok(Math.abs((moments[power] ?? NaN) - wanted) < 4 * error, `moment ${power + 1}`);
  });
});

Deno.test("a permutation holds every index once, in another order for another seed", () => {
  const order = new RandomStream(1, "shuffle").permutation(1000);
  assert.deepEqual([...order].sort((a, b) => a - b), Array.from({ length: 1000 }, (_, i) => i));
  assert.notDeepEqual(order, new RandomStream(2, "shuffle").permutation(1000));
  assert.deepEqual(order, new RandomStream(1, "shuffle").permutation(1000));
  assert.deepEqual([...new RandomStream(1, "shuffle").permutation(1)], [0]);
  assert.equal(new RandomStream(1, "shuffle").permutation(0).length, 0);
});

Deno.test("the six permutations of three appear equally often", () => {
  const counts = new Map<string, number>();
  for (let seed = 0; seed < 6000; seed++) {
    const order = new RandomStream(seed, "three").permutation(3).join();
    counts.set(order, (counts.get(order) ?? 0) + 1);
  }
  assert.equal(counts.size, 6);
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 4 * Math.sqrt(1000));
});
