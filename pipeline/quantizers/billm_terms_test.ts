// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { matrix } from "../linalg/matrix.ts";
import { breakPoint, CODE_RULES, PAPER_RULES } from "./billm_masks.ts";
import { fitTerms, termsError } from "./billm_terms.ts";

const COUNT = 200_000;
const random = new RandomStream(1, "billm terms");

/** Unit variance; the constants below are those of these distributions (notes on BiLLM, 2.7). */
const SAMPLES = {
  gaussian: Float64Array.from({ length: COUNT }, (_, index) => random.normal(index)),
  // The inverse of the distribution function at evenly spaced probabilities.
  laplace: Float64Array.from({ length: COUNT }, (_, index) => {
    const probability = (index + 0.5) / COUNT - 0.5;
    return -Math.sign(probability) * Math.log(1 - 2 * Math.abs(probability)) / Math.SQRT2;
  }),
};

function error(values: Float64Array, terms: 1 | 2, means = true): number {
  return termsError(values.slice(), values.length, terms, means) / values.length;
}

function close(actual: number, expected: number, tolerance = 2e-3): void {
  assert(Math.abs(actual - expected) < tolerance, `${actual}, expected ${expected}`);
}

Deno.test("one term leaves 1 - 2/pi of a Gaussian, half of a Laplacian", () => {
  for (const means of [false, true]) {
    close(error(SAMPLES.gaussian, 1, means), 1 - 2 / Math.PI);
    close(error(SAMPLES.laplace, 1, means), 0.5);
  }
});

Deno.test("two terms leave 0.1306 and 0.2303; the second scales are 0.4827 and 0.5207", () => {
  close(error(SAMPLES.gaussian, 2), 0.1306);
  close(error(SAMPLES.laplace, 2), 0.2303);
  const scales = (values: Float64Array) => fitTerms(values.slice(), COUNT, 2, false).scales;
  close(scales(SAMPLES.gaussian)[0]!, Math.sqrt(2 / Math.PI));
  close(scales(SAMPLES.gaussian)[1]!, 0.4827);
  close(scales(SAMPLES.laplace)[0]!, Math.SQRT1_2);
  close(scales(SAMPLES.laplace)[1]!, 0.5207);
});

Deno.test("the best split leaves what Lloyd and Max leave with four levels: 0.1175 and 0.1765", () => {
  for (
    const [values, expected, place] of [
      [SAMPLES.gaussian, 0.1175, 0.98],
      [SAMPLES.laplace, 0.1765, 1.13],
    ] as const
  ) {
    const none = new Uint8Array(COUNT);
    const found = breakPoint(matrix(1, COUNT, values), none, { ...CODE_RULES, means: false });
    // Percentiles are 0.03 apart at the break-point.
    close(found, place, 0.04);
    const side = (low: boolean) => values.filter((value) => (Math.abs(value) < found) === low);
    const sides = [side(true), side(false)];
    const left = sides.reduce((sum, part) => sum + error(part, 1, false) * part.length, 0) / COUNT;
    close(left, expected);
  }
});

Deno.test("the paper's break-points are shares of the largest magnitude", () => {
  const values = Float64Array.of(0.1, -0.1, 0.1, -0.1, 1, -1, 1, -1);
  const found = breakPoint(matrix(1, 8, values), new Uint8Array(8), PAPER_RULES);
  // Everything between the two magnitudes splits perfectly; the first of those is kept.
  assert.equal(found, 0.11);
});

Deno.test("one term leaves exactly sum (x - mean)^2 - n scale^2", () => {
  for (const count of [1, 2, 7, 128]) {
    const values = SAMPLES.gaussian.slice(0, count).map((value) => value + 0.3);
    const { mean, scales } = fitTerms(values.slice(), count, 1, true);
    const expected = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) - count * scales[0]! ** 2;
    close(termsError(values.slice(), count, 1, true), expected, 1e-12);
    close(mean, values.reduce((sum, x) => sum + x, 0) / count, 1e-12);
  }
});

Deno.test("a second term never loses more, nor does a split at the best place", () => {
  for (let seed = 0; seed < 40; seed++) {
    const values = SAMPLES.gaussian.slice(64 * seed, 64 * (seed + 1))
      .map((value) => (seed % 3 + 1) * value + (seed % 2 ? 0.5 : 0));
    for (const means of [false, true]) {
      assert(error(values, 2, means) <= error(values, 1, means) + 1e-15);
      const whole = matrix(1, 64, values);
      const found = breakPoint(whole, new Uint8Array(64), { ...CODE_RULES, means });
      const sides = [true, false].map((low) =>
        values.filter((value) => (Math.abs(value) < found) === low)
      );
      const split = sides.reduce((sum, side) => sum + termsError(side, side.length, 1, means), 0);
      assert(split <= 64 * error(values, 1, means), `${seed}`);
    }
  }
});

Deno.test("values are what their terms and signs say, and what is left of them", () => {
  const values = SAMPLES.gaussian.slice(0, 50);
  const left = values.slice();
  const signs = new Uint8Array(50);
  const { mean, scales } = fitTerms(left, 50, 2, true, signs);
  values.forEach((value, index) => {
    const bits = signs[index]!;
    const sum = mean + (bits & 1 ? 1 : -1) * scales[0]! + (bits & 2 ? 1 : -1) * scales[1]!;
    close(sum + left[index]!, value, 1e-12);
  });
});

Deno.test("zeros have the sign +1; no values have no scale", () => {
  const signs = new Uint8Array(4);
  fitTerms(Float64Array.of(0, 1, -1, 0), 4, 1, false, signs);
  assert.deepEqual([...signs], [1, 1, 0, 1]);
  assert.deepEqual(fitTerms(new Float64Array(4), 0, 2, true), { mean: 0, scales: [0, 0] });
});
