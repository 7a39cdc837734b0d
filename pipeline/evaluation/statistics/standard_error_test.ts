import assert from "node:assert/strict";
import { findPython } from "../../environment/oracles.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import {
  bootstrapStandardError,
  macroStandardError,
  mean,
  meanStandardError,
  median,
  pooledStandardError,
} from "./standard_error.ts";

function answers(right: number, size: number): number[] {
  return Array.from({ length: size }, (_, index) => index < right ? 1 : 0);
}

function part(right: number, size: number): { standardError: number; size: number } {
  return { standardError: meanStandardError(answers(right, size)) ?? NaN, size };
}

Deno.test("the error of a share is sqrt(p (1 - p) / (n - 1))", () => {
  for (const [right, size] of [[25, 100], [7021, 14042], [1, 2]] as const) {
    const p = right / size;
    const error = meanStandardError(answers(right, size)) ?? NaN;
    assert.ok(Math.abs(error - Math.sqrt(p * (1 - p) / (size - 1))) < 1e-14);
  }
  assert.equal(((meanStandardError(answers(7021, 14042)) ?? NaN) * 100).toFixed(2), "0.42");
});

Deno.test("one item, or none, has no error", () => {
  assert.equal(meanStandardError([1]), null);
  assert.equal(meanStandardError([]), null);
  assert.equal(pooledStandardError([{ standardError: 0, size: 1 }]), null);
  assert.equal(bootstrapStandardError(mean, [1], 100), null);
  assert.equal(bootstrapStandardError(mean, [1, 2], 0), null);
});

Deno.test("pooled errors leave out what tasks differ by", () => {
  const pooled = pooledStandardError([part(30, 100), part(50, 80)]) ?? NaN;
  const concatenated = meanStandardError([...answers(30, 100), ...answers(50, 80)]) ?? NaN;
  assert.equal(pooled.toFixed(5), "0.03522");
  assert.equal(concatenated.toFixed(5), "0.03714");
});

Deno.test("the error of a macro mean of equal tasks is that of one over sqrt(K)", () => {
  assert.ok(Math.abs(macroStandardError([0.2, 0.2, 0.2, 0.2]) - 0.1) < 1e-15);
});

Deno.test("the median of the harness is the higher of two in the middle", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([10, 1, 9, 2]), 9);
});

const BOOTSTRAP = `
import math, random
xs = [0.5, -1.25, 3.0, 2.5, -0.75]
res = []
for i in range(3):
    rnd = random.Random(i)
    for _ in range(1000):
        sample = rnd.choices(xs, k=len(xs))
        res.append(math.exp(-(sum(sample) / len(sample))))
mu = sum(res) / len(res)
print(math.sqrt(sum((x - mu) ** 2 for x in res) / (len(res) - 1)))
`;

const python = await findPython([]);
testUnless(python === null ? "no python3" : null, "bootstrap draws as Python draws", async () => {
  const output = await new Deno.Command(python ?? "", { args: ["-c", BOOTSTRAP] }).output();
  const expected = Number(new TextDecoder().decode(output.stdout));
  const actual = bootstrapStandardError(
    (items) => Math.exp(-mean(items)),
    [0.5, -1.25, 3.0, 2.5, -0.75],
    3000,
  );
  assert.ok(Math.abs((actual ?? NaN) - expected) < 1e-12 * expected);
});
