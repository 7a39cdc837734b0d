// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../../kernels/random.ts";
import { askPython } from "../../../tests/support/ask_python.ts";
import { testUnless } from "../../../tests/support/optional.ts";
import { findPython } from "../../environment/oracles.ts";
import { mcnemarTest } from "./mcnemar.ts";
import { compareByBootstrap, comparePaired, type WeightedLikelihood } from "./paired.ts";
import { twoSidedTail } from "./student_distribution.ts";

const python = await findPython(["numpy", "scipy"]);
const missing = python === null ? "there is no Python with SciPy" : null;

/** What a script prints of `x`, the input. */
async function askScipy(script: string, input: unknown): Promise<unknown> {
  const reading = `import json, sys\nx = json.load(sys.stdin)\n${script}`;
  return JSON.parse(await askPython(python, reading, input));
}

function assertClose(found: number, expected: number, relative: number): void {
  const bound = relative * Math.abs(expected) + 1e-300;
  assert.ok(Math.abs(found - expected) <= bound, `${found}, wanted ${expected}`);
}

/** Log-likelihoods of two models on the same items, which vary more than the models differ. */
function likelihoods(items: number): [number[], number[]] {
  const random = new RandomStream(3, "paired");
  const first = Array.from({ length: items }, (_, item) => -20 + 5 * random.normal(2 * item));
  const second = first.map((value, item) => value + 0.3 + random.normal(2 * item + 1));
  return [first, second];
}

Deno.test("McNemar's p is twice the tail of a fair coin", () => {
  assert.equal(mcnemarTest(0, 0), 1);
  assert.equal(mcnemarTest(7, 7), 1);
  for (let trials = 1; trials <= 12; trials++) {
    for (let k = 0; 2 * k < trials; k++) {
      // Counted: outcomes of `trials` tosses with at most k heads.
      let tail = 0;
      for (let outcome = 0; outcome < 2 ** trials; outcome++) {
        if (outcome.toString(2).replaceAll("0", "").length <= k) tail++;
      }
      const expected = Math.min(1, 2 * tail / 2 ** trials);
      assertClose(mcnemarTest(k, trials - k), expected, 1e-13);
      assertClose(mcnemarTest(trials - k, k), expected, 1e-13);
    }
  }
  assert.throws(() => mcnemarTest(-1, 3), RangeError);
});

testUnless(missing, "McNemar's p is that of SciPy, also for thousands of flips", async () => {
  const pairs = [[40, 60], [1, 30], [500, 530], [3000, 3100], [5000, 9042], [0, 900], [100, 2000]];
  const script = "from scipy.stats import binomtest\n" +
    "print(json.dumps([binomtest(b, b + c).pvalue for b, c in x]))";
  const expected = await askScipy(script, pairs) as number[];
  pairs.forEach(([b, c], index) => assertClose(mcnemarTest(b!, c!), expected[index]!, 1e-9));
});

testUnless(missing, "tails of Student's distribution are those of SciPy", async () => {
  const cases = [1, 2, 3, 10, 61, 1000, 14041].flatMap((freedom) =>
    [0, 1e-6, 0.1, 0.7, 1, 2, 3.5, 10, 50].map((t) => [t, freedom])
  );
  const script = "from scipy.stats import t\n" +
    "print(json.dumps([2 * t.sf(v, f) for v, f in x]))";
  const expected = await askScipy(script, cases) as number[];
  cases.forEach(([t, freedom], index) => {
    if (expected[index]! > 1e-290) assertClose(twoSidedTail(t!, freedom!), expected[index]!, 1e-8);
    assert.equal(twoSidedTail(-t!, freedom!), twoSidedTail(t!, freedom!));
  });
});

testUnless(missing, "the paired t-test is that of SciPy", async () => {
  const [first, second] = likelihoods(300);
  const script = "from scipy.stats import ttest_rel\n" +
    "import numpy as np\n" +
    "a, b = map(np.array, x)\n" +
    "r = ttest_rel(b, a)\n" +
    "print(json.dumps([r.pvalue, r.statistic, (b - a).mean()]))";
  const [p, t, difference] = await askScipy(script, [first, second]) as number[];
  const found = comparePaired(first, second);
  assert.equal(found.test, "t");
  assertClose(found.p!, p!, 1e-8);
  assertClose(found.difference, difference!, 1e-11);
  assertClose(found.difference / found.standardError!, t!, 1e-10);
});

Deno.test("flips are counted, and the error of their difference has its closed form", () => {
  const first = [1, 1, 1, 0, 0, 0, 0, 1, 1, 0];
  const second = [1, 0, 1, 1, 1, 1, 0, 1, 1, 0];
  const { gained, lost, difference, standardError, p, test } = comparePaired(first, second);
  assert.deepEqual([gained, lost, test], [3, 1, "mcnemar"]);
  assertClose(difference, 0.2, 1e-15);
  assertClose(standardError!, Math.sqrt((0.4 - 0.2 ** 2) / 9), 1e-14);
  assertClose(p!, 2 * 5 / 16, 1e-14);
  assert.throws(() => comparePaired([1], [1, 0]), RangeError);
  assert.throws(() => comparePaired([], []), RangeError);
  assert.equal(comparePaired([0.5], [0.7]).standardError, null);
  assert.equal(comparePaired([0.5, 0.7], [0.5, 0.7]).p, 1);
});

const perplexity = (likelihood: number, weight: number) => Math.exp(-likelihood / weight);

Deno.test("the bootstrap of a perplexity finds its error by the delta method", () => {
  const [first, second] = likelihoods(400)
    .map((values) => values.map((value): WeightedLikelihood => [value, 10]));
  const found = compareByBootstrap(first!, second!, perplexity, 5);
  const means = [first!, second!].map((list) =>
    list.reduce((sum, [value]) => sum - value, 0) / (10 * list.length)
  );
  assertClose(found.first, Math.exp(means[0]!), 1e-12);
  assertClose(found.difference, Math.exp(means[1]!) - Math.exp(means[0]!), 1e-9);
  // Of exp(b) - exp(a): the deviation of exp(b) b_i - exp(a) a_i over the root of the number of items.
  const terms = first!.map(([a], item) =>
    (Math.exp(means[1]!) * second![item]![0] - Math.exp(means[0]!) * a) / 10
  );
  const center = terms.reduce((sum, term) => sum + term, 0) / terms.length;
  const squares = terms.reduce((sum, term) => sum + (term - center) ** 2, 0);
  const delta = Math.sqrt(squares / (terms.length - 1) / terms.length);
  // A deviation over 2000 resamples is known to 1 / sqrt(4000), four times over.
  assertClose(found.standardError!, delta, 4 / Math.sqrt(4000));
  assert.equal(found.test, "bootstrap");
  assert.ok(found.p! < 0.01);
  assert.deepEqual(compareByBootstrap(first!, second!, perplexity, 5), found);
  assert.notDeepEqual(compareByBootstrap(first!, second!, perplexity, 6), found);
  const equal = compareByBootstrap(first!, first!, perplexity, 5);
  assert.deepEqual([equal.difference, equal.standardError, equal.p], [0, 0, 1]);
  assert.equal(compareByBootstrap([[-3, 2]], [[-4, 2]], perplexity, 5).p, null);
});
