import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient } from "../testing/gradient.ts";
import { squaredError } from "./squared_error.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

Deno.test("losses are sums of squares of each row", () => {
  const losses = new Float64Array(2).fill(NaN);
  const prediction = Float64Array.of(1, 2, 3, 4);
  squaredError(prediction, Float64Array.of(1, 0, 0, 5), losses, null, { N: 2 }, 7, false);
  assert.deepEqual([...losses], [4, 10]);
});

Deno.test("the gradient is that of the scaled sum of losses", () => {
  const [N, scale] = [5, 0.3];
  const [prediction, target] = [floats("prediction", 15), floats("target", 15)];
  const losses = new Float64Array(3);
  const gradient = new Float64Array(15).fill(NaN);
  squaredError(prediction, target, losses, gradient, { N }, scale, false);
  checkGradient("gradient", prediction, gradient, () => {
    squaredError(prediction, target, losses, null, { N }, scale, false);
    return scale * losses.reduce((sum, loss) => sum + loss);
  });
  const once = gradient.slice();
  squaredError(prediction, target, losses, gradient, { N }, scale, true);
  assertClose(gradient, once.map((value) => 2 * value));
});
