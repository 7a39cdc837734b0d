// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { sample, type SampleSettings } from "./sample.ts";

const PLAIN: SampleSettings = { temperature: 1, topK: Infinity, topP: 1 };

/** Draws with one key at counters 0, 1, ... from the logarithms of some probabilities. */
function draws(probabilities: readonly number[], count: number, settings: SampleSettings) {
  const logits = Float64Array.from(
    { length: count * probabilities.length },
    (_, i) => 3 + Math.log(probabilities[i % probabilities.length]!),
  );
  const keys = Uint32Array.from({ length: 2 * count }, (_, i) => i % 2 === 0 ? 17 : 4);
  const counters = Uint32Array.from({ length: count }, (_, i) => i);
  const tokens = new Uint32Array(count);
  const logProbabilities = new Float64Array(count);
  sample(logits, keys, counters, tokens, logProbabilities, settings);
  return { tokens, logProbabilities };
}

/** Pearson's statistic of draws against probabilities. */
function chiSquared(tokens: Uint32Array, probabilities: readonly number[]): number {
  return probabilities.reduce((sum, probability, v) => {
    const expected = probability * tokens.length;
    const found = tokens.filter((token) => token === v).length;
    if (expected === 0) return found === 0 ? sum : Infinity;
    return sum + (found - expected) ** 2 / expected;
  }, 0);
}

const P = [0.05, 0.4, 0.1, 0.25, 0.2];

/** Settings and the distribution that they leave, worked out by hand. */
const CASES: Readonly<Record<string, readonly [Partial<SampleSettings>, readonly number[]]>> = {
  "all tokens": [{}, P],
  "half the temperature squares": [
    { temperature: 0.5 },
    P.map((p) => p ** 2 / (0.0025 + 0.16 + 0.01 + 0.0625 + 0.04)),
  ],
  "the 2 likeliest": [{ topK: 2 }, [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]],
  "70 % of the probability": [{ topP: 0.7 }, [0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85]],
  "60 % of the 2 likeliest": [{ topK: 2, topP: 0.6 }, [0, 1, 0, 0, 0]],
  "65 % of the 2 likeliest": [{ topK: 2, topP: 0.65 }, [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0]],
};

for (const [name, [settings, expected]] of Object.entries(CASES)) {
  Deno.test(`sample draws from ${name}`, () => {
    const { tokens } = draws(P, 4000, { ...PLAIN, ...settings });
    // 18.5 is the 99.9 % quantile of the statistic with 4 degrees of freedom.
    assert.ok(chiSquared(tokens, expected) < 18.5, `${chiSquared(tokens, expected)}`);
  });
}

Deno.test("sample at temperature 0 takes the first of the likeliest", () => {
  const { tokens, logProbabilities } = draws([0.1, 0.4, 0.4, 0.1], 3, { ...PLAIN, temperature: 0 });
  assert.deepEqual([...tokens], [1, 1, 1]);
  logProbabilities.forEach((value) => assert.ok(Math.abs(value - Math.log(0.4)) < 1e-12));
});

Deno.test("sample reports probabilities before temperature, top-k and top-p", () => {
  const settings = { temperature: 0.3, topK: 3, topP: 0.9 };
  const { tokens, logProbabilities } = draws(P, 100, settings);
  tokens.forEach((token, i) =>
    assert.ok(Math.abs(logProbabilities[i]! - Math.log(P[token]!)) < 1e-12)
  );
});

Deno.test("sample keeps equal logits together", () => {
  const { tokens } = draws([0.3, 0.1, 0.3, 0.3], 200, { ...PLAIN, topK: 1 });
  assert.deepEqual([...new Set(tokens)].sort(), [0, 2, 3]);
});

Deno.test("sample shows NaN", () => {
  const tokens = new Uint32Array(1);
  const logProbabilities = new Float64Array(1);
  for (const temperature of [0, 1]) {
    sample(
      Float64Array.of(1, NaN),
      new Uint32Array(2),
      new Uint32Array(1),
      tokens,
      logProbabilities,
      {
        ...PLAIN,
        temperature,
      },
    );
    assert.ok(tokens[0]! < 2);
    assert.ok(Number.isNaN(logProbabilities[0]));
  }
});
