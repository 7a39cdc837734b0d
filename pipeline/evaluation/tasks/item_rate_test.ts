import assert from "node:assert/strict";
import { ItemRate } from "./item_rate.ts";

Deno.test("the rate is that of the last ten seconds", () => {
  const rate = new ItemRate();
  assert.equal(rate.next(0, 0), null);
  // A journal answers 9,000 items at once.
  assert.equal(rate.next(9000, 1), null);
  assert.equal(rate.next(9001, 1000), 9001);
  // From then on two items a second: what was before leaves the window.
  let last: number | null = null;
  for (let second = 2; second <= 30; second++) {
    last = rate.next(9001 + 2 * (second - 1), 1000 * second);
  }
  assert.equal(last, 2);
});

Deno.test("a rate is there as soon as half a second has passed", () => {
  const rate = new ItemRate();
  assert.equal(rate.next(0, 100), null);
  assert.equal(rate.next(3, 599), null);
  assert.equal(rate.next(4, 600), 8);
});
