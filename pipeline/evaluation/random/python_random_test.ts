import assert from "node:assert/strict";
import { findPython } from "../../environment/oracles.ts";
import { askPython } from "../../../tests/support/ask_python.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import { PythonRandom } from "./python_random.ts";

Deno.test("integers of seed 0, as calibration in GPTQ draws them", () => {
  const random = new PythonRandom(0);
  assert.deepEqual(
    Array.from({ length: 5 }, () => random.integer(0, 999_999)),
    [885440, 403958, 794772, 933488, 441001],
  );
});

Deno.test("draws of few-shot examples with the seed 1234", () => {
  const gsm8k = new PythonRandom(1234);
  assert.deepEqual(gsm8k.sampleIndices(7473, 5), [6374, 3610, 957, 61, 742]);
  assert.deepEqual(gsm8k.sampleIndices(7473, 5), [7462, 6610, 4769, 286, 5501]);
  assert.deepEqual(gsm8k.sampleIndices(7473, 5), [5677, 687, 806, 6279, 2905]);
  const hellaswag = new PythonRandom(1234);
  assert.deepEqual(
    hellaswag.sampleIndices(39905, 11),
    [28883, 7657, 490, 5940, 38156, 2288, 5500, 6450, 23241, 15519, 1142],
  );
  assert.deepEqual(
    hellaswag.sampleIndices(39905, 11),
    [2019, 1038, 22681, 31735, 30379, 9735, 5982, 11999, 7498, 958, 32970],
  );
  const arc = new PythonRandom(1234);
  assert.deepEqual(
    arc.sampleIndices(1119, 25).slice(0, 8),
    [902, 239, 15, 185, 71, 171, 201, 726],
  );
});

Deno.test("what cannot be drawn is refused", () => {
  const random = new PythonRandom(1);
  assert.throws(() => new PythonRandom(1.5), RangeError);
  assert.throws(() => random.below(0), RangeError);
  assert.throws(() => random.bits(54), RangeError);
  assert.throws(() => random.sampleIndices(3, 4), /Cannot draw 4 of 3/);
  assert.deepEqual(random.sampleIndices(3, 0), []);
});

/** What both sides compute for a seed; sizes on both sides of the border between the two methods. */
const SCRIPT = `
import json, random, sys
out = []
for text in json.load(sys.stdin):
    r = random.Random(int(text))
    row = [r.random() for _ in range(3)]
    row += [r.getrandbits(k) for k in (1, 7, 31, 32, 33, 53)]
    row += [r.randint(0, 10**k) for k in range(1, 15)]
    for size, count in ((21, 5), (22, 5), (84, 6), (85, 6), (86, 6), (277, 22), (278, 22), (1000, 40), (5, 5), (1, 1)):
        row += r.sample(range(size), count)
    items = list(range(30)); r.shuffle(items); row += items
    row += r.choices(range(1000), k=5) + [r.choice(range(7))]
    out.append(row)
print(json.dumps(out))
`;

function draws(seed: bigint): number[] {
  const random = new PythonRandom(seed);
  const row = [random.random(), random.random(), random.random()];
  row.push(...[1, 7, 31, 32, 33, 53].map((bits) => random.bits(bits)));
  for (let k = 1; k < 15; k++) row.push(random.integer(0, 10 ** k));
  const sizes: [number, number][] = [
    [21, 5],
    [22, 5],
    [84, 6],
    [85, 6],
    [86, 6],
    [277, 22],
    [278, 22],
    [1000, 40],
    [5, 5],
    [1, 1],
  ];
  for (const [size, count] of sizes) row.push(...random.sampleIndices(size, count));
  const items = Array.from({ length: 30 }, (_, index) => index);
  random.shuffle(items);
  const thousand = Array.from({ length: 1000 }, (_, index) => index);
  row.push(...items, ...random.choices(thousand, 5), random.choice(thousand.slice(0, 7)));
  return row;
}

const python = await findPython([]);
testUnless(python === null ? "no python3" : null, "CPython draws the same", async () => {
  const seeds = Array.from({ length: 200 }, (_, index) => BigInt(index) * 7919n);
  seeds.push(-5n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 64n + 3n, 10n ** 60n);
  const printed = await askPython(python, SCRIPT, seeds.map(String));
  const expected: number[][] = JSON.parse(printed);
  for (const [index, seed] of seeds.entries()) assert.deepEqual(draws(seed), expected[index]);
});
