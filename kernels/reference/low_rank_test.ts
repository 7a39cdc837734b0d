// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { threefry } from "../random.ts";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { linear } from "./linear.ts";
import { dropoutFactor, lowRank, lowRankBackward, type LowRankFactors } from "./low_rank.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));
const mask = { rate: 0.25, key: Uint32Array.of(1, 2), stream: 3 };

/** LoRA, QA-LoRA, Q-BLoRA, QA-BLoRA and QA-HiRA as settings of one product; the last with dropout. */
const FORMS = [
  { name: "lora", rank: 3, pool: 1, repeat: 1, mask: null },
  { name: "qa-lora", rank: 3, pool: 4, repeat: 1, mask: null },
  { name: "q-blora", rank: 3, pool: 2, repeat: 2, mask: null },
  { name: "qa-blora", rank: 2, pool: 4, repeat: 3, mask: null },
  { name: "qa-hira", rank: 0, pool: 4, repeat: 2, mask: null },
  { name: "dropout", rank: 3, pool: 2, repeat: 2, mask },
];

for (const { name, rank, pool, repeat, mask } of FORMS) {
  const [M, K, N] = [3, 8, 6];
  const [P, Q, R] = [K / pool, N / repeat, rank || K / pool];
  const dimensions = { M, K, N, R, P, Q };
  const factors: LowRankFactors = { pool, repeat, scale: 0.75, mask };
  const input = floats("input", M * K);
  const a = rank ? floats("a", R * P) : null;
  const b = floats("b", Q * R);

  Deno.test(`lowRankBackward is the gradient of lowRank: ${name}`, () => {
    const gradOutput = floats("gradOutput", M * N);
    const hidden = new Float64Array(M * R);
    const loss = () => {
      const output = new Float64Array(M * N);
      lowRank(input, a, b, hidden, output, dimensions, factors);
      return dot(output, gradOutput);
    };
    loss();
    const gradA = a && new Float64Array(R * P);
    const gradB = new Float64Array(Q * R);
    const gradInput = new Float64Array(M * K);
    const backward = () =>
      lowRankBackward(
        input,
        a,
        b,
        hidden,
        gradOutput,
        gradA,
        gradB,
        gradInput,
        dimensions,
        factors,
      );
    backward();
    const once = gradInput.slice();
    if (a && gradA) checkGradient("gradA", a, gradA, loss);
    checkGradient("gradB", b, gradB, loss);
    checkGradient("gradInput", input, gradInput, loss);
    backward();
    assertClose(gradInput, once.map((value) => 2 * value));
  });

  if (mask) continue;
  Deno.test(`lowRank adds x dW^T with dW = scale * repeat(B A) / pool: ${name}`, () => {
    const product = (q: number, p: number) => {
      if (!a) return b[q * R + p]!;
      let sum = 0;
      for (let r = 0; r < R; r++) sum += b[q * R + r]! * a[r * P + p]!;
      return sum;
    };
    const change = Float64Array.from({ length: N * K }, (_, i) => {
      const [n, k] = [Math.floor(i / K), i % K];
      return factors.scale * product(Math.floor(n / repeat), Math.floor(k / pool)) / pool;
    });
    const before = floats("before", M * N);
    const output = before.slice();
    lowRank(input, a, b, new Float64Array(M * R), output, dimensions, factors);
    const expected = before.slice();
    linear(input, change, null, expected, { M, K, N }, true);
    assertClose(output, expected);
  });
}

Deno.test("dropout keeps what draws at least floor(rate * 2^32) and rescales it", () => {
  let kept = 0;
  const count = 4000;
  for (let index = 0; index < count; index++) {
    const [draw] = threefry([1, 2], [index, 3]);
    const factor = dropoutFactor(mask, index);
    assert.equal(factor, draw >= 2 ** 30 ? 4 / 3 : 0);
    if (factor > 0) kept++;
  }
  // Four standard deviations of a binomial with p = 3/4.
  assert.ok(Math.abs(kept / count - 0.75) < 4 * Math.sqrt(0.75 * 0.25 / count));
  const other = { ...mask, stream: 4 };
  const differences = Array.from({ length: 100 }, (_, i) => i)
    .filter((i) => dropoutFactor(mask, i) !== dropoutFactor(other, i));
  assert.ok(differences.length > 10, "another stream is another mask");
  assert.equal(dropoutFactor({ ...mask, rate: 0 }, 0), 1);
  const [draw] = threefry([1, 2], [0, 3]);
  assert.ok(
    dropoutFactor({ ...mask, rate: draw / 2 ** 32 }, 0) > 0,
    "the threshold itself is kept",
  );
  assert.equal(dropoutFactor({ ...mask, rate: (draw + 1) / 2 ** 32 }, 0), 0);
});
