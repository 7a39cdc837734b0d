import assert from "node:assert/strict";
import { DYNAMIC_MAP, NF4_LEVELS } from "./nf4.ts";

Deno.test("NF4 has 7 negative levels, zero and 8 positive levels, ascending from -1 to 1", () => {
  assert.equal(NF4_LEVELS.length, 16);
  assert.ok(NF4_LEVELS.every((level, i) => i === 0 || level > (NF4_LEVELS[i - 1] ?? NaN)));
  assert.equal(NF4_LEVELS.filter((level) => level < 0).length, 7);
  assert.deepEqual([NF4_LEVELS[0], NF4_LEVELS[7], NF4_LEVELS[15]], [-1, 0, 1]);
});

Deno.test("NF4 levels are f32 numbers and the quantiles they are built from", () => {
  // bitsandbytes create_normal_map: evenly spaced probabilities from `offset` to 1/2, 9 for the
  // positive and 8 for the negative side, without 1/2 itself; then divided by the largest.
  const offset = 929 / 960;
  const side = (steps: number) =>
    Array.from({ length: steps }, (_, i) => normalQuantile(offset + (0.5 - offset) * i / steps));
  const levels = [...side(8), 0, ...side(7).map((level) => -level)].sort((a, b) => a - b);
  const largest = Math.max(...levels);
  NF4_LEVELS.forEach((level, code) => {
    assert.equal(level, Math.fround(level), `level ${code} is an f32`);
    assert.ok(Math.abs((levels[code] ?? NaN) / largest - level) < 1e-6, `level ${code}`);
  });
});

Deno.test("the widest NF4 gap bounds the rounding error by 0.152 of the block maximum", () => {
  const gaps = NF4_LEVELS.slice(1).map((level, i) => level - (NF4_LEVELS[i] ?? NaN));
  assert.ok(Math.max(...gaps) / 2 < 0.152);
});

Deno.test("the dynamic map has 256 levels, strictly increasing, f32", () => {
  assert.equal(DYNAMIC_MAP.length, 256);
  assert.ok(DYNAMIC_MAP.every((level, i) => i === 0 || level > (DYNAMIC_MAP[i - 1] ?? NaN)));
  assert.ok(DYNAMIC_MAP.every((level) => level === Math.fround(level)));
  assert.deepEqual([DYNAMIC_MAP[0], DYNAMIC_MAP[127], DYNAMIC_MAP[255]], [
    Math.fround(-0.99296875),
    0,
    1,
  ]);
});

Deno.test("the dynamic map is symmetric but for 1, with 2^i levels in decade i", () => {
  const positive = DYNAMIC_MAP.filter((level) => level > 0 && level < 1);
  const negative = DYNAMIC_MAP.filter((level) => level < 0);
  assert.deepEqual(negative.map((level) => -level).reverse(), positive);
  for (let decade = 0; decade < 7; decade++) {
    const top = 10 ** (decade - 6);
    const inside = positive.filter((level) => level > top / 10 && level < top);
    assert.equal(inside.length, 2 ** decade, `levels between ${top / 10} and ${top}`);
  }
});

/** The quantile function of the standard normal, by bisection of Simpson's rule on its density. */
function normalQuantile(probability: number): number {
  const cells = 400;
  const density = (x: number) => Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  const distribution = (x: number) => {
    let sum = density(0) + density(x);
    for (let i = 1; i < cells; i++) sum += density(x * i / cells) * (i % 2 === 1 ? 4 : 2);
    return 0.5 + sum * x / cells / 3;
  };
  let [low, high] = [0, 10];
  for (let i = 0; i < 50; i++) {
    const middle = (low + high) / 2;
    if (distribution(middle) < probability) low = middle;
    else high = middle;
  }
  return low;
}
