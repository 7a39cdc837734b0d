import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient } from "../testing/gradient.ts";
import { crossEntropy, weightedSum } from "./cross_entropy.ts";

const [T, D, V] = [4, 3, 5];
const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));
const targets = Uint32Array.of(4, 0, 99, 2);
const weights = Float64Array.of(0.5, 2, 0, -1);

Deno.test("equal logits cost log V", () => {
  const losses = new Float64Array(T).fill(NaN);
  const head = floats("head", V * D);
  const ones = new Float64Array(T).fill(1);
  const valid = Uint32Array.of(0, 1, 2, 4);
  crossEntropy(new Float64Array(T * D), head, valid, ones, losses, null, null, { T, D, V });
  assertClose(losses, new Float64Array(T).fill(Math.log(V)));
});

Deno.test("two logits cost log(1 + exp(difference)), however large", () => {
  for (const logit of [-2, 0, 3, 5000]) {
    const losses = new Float64Array(1);
    crossEntropy(
      Float64Array.of(1),
      Float64Array.of(logit, 0),
      Uint32Array.of(1),
      Float64Array.of(1),
      losses,
      null,
      null,
      { T: 1, D: 1, V: 2 },
    );
    assertClose(losses, [logit > 100 ? logit : Math.log1p(Math.exp(logit))]);
  }
});

Deno.test("gradients are those of the weighted sum; a masked token costs nothing", () => {
  const [hidden, head] = [floats("hidden", T * D), floats("head", V * D)];
  const losses = new Float64Array(T);
  const gradHidden = new Float64Array(T * D).fill(NaN);
  const gradHead = new Float64Array(V * D);
  crossEntropy(hidden, head, targets, weights, losses, gradHidden, gradHead, { T, D, V });
  const total = new Float64Array(1);
  const loss = () => {
    crossEntropy(hidden, head, targets, weights, losses, null, null, { T, D, V });
    weightedSum(losses, weights, total);
    return total[0] ?? NaN;
  };
  checkGradient("gradHidden", hidden, gradHidden, loss);
  checkGradient("gradHead", head, gradHead, loss);
  assert.equal(losses[2], 0);
  assert.ok(gradHidden.subarray(2 * D, 3 * D).every((value) => value === 0));
  const once = gradHead.slice();
  crossEntropy(hidden, head, targets, weights, losses, gradHidden, gradHead, { T, D, V });
  assertClose(gradHead, once.map((value) => 2 * value));
});

Deno.test("a target outside the vocabulary is refused where it counts", () => {
  assert.throws(
    () =>
      crossEntropy(
        floats("hidden", T * D),
        floats("head", V * D),
        targets,
        new Float64Array(T).fill(1),
        new Float64Array(T),
        null,
        null,
        { T, D, V },
      ),
    { name: "RangeError", message: "crossEntropy: target 2 is 99, but the head has 5 rows" },
  );
});
