// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose } from "../testing/gradient.ts";
import { adamw, gradientNorm } from "./optimizer.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));
const NO_CLIP = Float64Array.of(1, 1);

function hyper(step: number, rate: number, decay: number, epsilon = 1e-12): Float64Array {
  return Float64Array.of(rate, 0.9, 0.99, epsilon, decay, 1 - 0.9 ** step, 1 - 0.99 ** step, 0);
}

Deno.test("the norm is over all gradients together; it is clipped as PyTorch does", () => {
  const output = new Float64Array(2);
  const gradients = [Float64Array.of(3), Float64Array.of(0, -4)];
  gradientNorm(gradients, 2, output);
  assertClose(output, [5, 2 / (5 + 1e-6)]);
  gradientNorm(gradients, 5.1, output);
  assert.deepEqual([...output], [5, 1]);
  gradientNorm(gradients, Infinity, output);
  assert.deepEqual([...output], [5, 1]);
  gradientNorm([new Float64Array(3)], 1, output);
  assert.deepEqual([...output], [0, 1]);
});

Deno.test("the first step of AdamW moves every parameter by the learning rate, against its sign", () => {
  const parameters = floats("parameters", 8);
  const gradients = floats("gradients", 8);
  const before = parameters.slice();
  const [moment1, moment2] = [new Float64Array(8), new Float64Array(8)];
  adamw(parameters, gradients, moment1, moment2, hyper(1, 0.01, 0), NO_CLIP);
  assertClose(parameters, before.map((p, i) => p - 0.01 * Math.sign(gradients[i]!)), 1e-9);
  assertClose(moment1, gradients.map((g) => 0.1 * g));
  assertClose(moment2, gradients.map((g) => 0.01 * g * g));
});

Deno.test("a constant gradient keeps moving parameters by the learning rate", () => {
  const parameters = Float64Array.of(1);
  const [moment1, moment2] = [new Float64Array(1), new Float64Array(1)];
  for (let step = 1; step <= 20; step++) {
    adamw(parameters, Float64Array.of(7), moment1, moment2, hyper(step, 0.01, 0), NO_CLIP);
  }
  assertClose(parameters, [0.8], 1e-9);
});

Deno.test("weight decay multiplies parameters, apart from the gradient", () => {
  const parameters = floats("parameters", 8);
  const before = parameters.slice();
  const zero = () => new Float64Array(8);
  adamw(parameters, zero(), zero(), zero(), hyper(1, 0.1, 0.5, 1), NO_CLIP);
  assertClose(parameters, before.map((p) => 0.95 * p));
});

Deno.test("the clipping factor multiplies gradients", () => {
  const [one, two] = [floats("parameters", 8), floats("parameters", 8)];
  const gradients = floats("gradients", 8);
  const moments = () => [new Float64Array(8), new Float64Array(8)] as const;
  adamw(one, gradients, ...moments(), hyper(1, 0.1, 0.5, 0.1), Float64Array.of(9, 0.25));
  const clipped = gradients.map((g) => 0.25 * g);
  adamw(two, clipped, ...moments(), hyper(1, 0.1, 0.5, 0.1), NO_CLIP);
  assertClose(one, two);
});

Deno.test("epsilon is added after the bias correction of the second moment", () => {
  const parameters = Float64Array.of(0);
  const [moment1, moment2] = [Float64Array.of(0.5), Float64Array.of(4)];
  adamw(parameters, Float64Array.of(0), moment1, moment2, hyper(2, 1, 0, 3), NO_CLIP);
  const denominator = Math.sqrt(0.99 * 4 / (1 - 0.99 ** 2)) + 3;
  assertClose(parameters, [-0.9 * 0.5 / (1 - 0.9 ** 2) / denominator]);
});
