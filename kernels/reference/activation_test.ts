import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { swiglu, swigluBackward } from "./activation.ts";

const SIZE = 9;
const floats = (name: string) => Float64Array.from(randomFloats(name, SIZE, -3, 3));

Deno.test("silu is odd up to its argument, and linear far from zero", () => {
  const gate = Float64Array.of(1, -1, 0, 40, -800);
  const output = new Float64Array(5);
  swiglu(gate, new Float64Array(5).fill(2), output);
  assertClose([(output[0] ?? NaN) - (output[1] ?? NaN)], [2]); // silu(x) - silu(-x) = x
  assertClose(output.subarray(0, 1), [2 / (1 + Math.exp(-1))]);
  assert.equal(output[2], 0);
  assertClose(output.subarray(3, 4), [80]);
  assert.equal(Math.abs(output[4] ?? NaN), 0);
});

Deno.test("swigluBackward is the gradient of swiglu, also over its own inputs", () => {
  const [gate, up, gradOutput] = [floats("gate"), floats("up"), floats("gradOutput")];
  const [gradGate, gradUp] = [new Float64Array(SIZE), new Float64Array(SIZE)];
  swigluBackward(gate, up, gradOutput, gradGate, gradUp);
  const loss = () => {
    const output = new Float64Array(SIZE);
    swiglu(gate, up, output);
    return dot(output, gradOutput);
  };
  checkGradient("gradGate", gate, gradGate, loss);
  checkGradient("gradUp", up, gradUp, loss);
  swigluBackward(gate, up, gradOutput, gate, up);
  assert.deepEqual([gate, up], [gradGate, gradUp]);
});
