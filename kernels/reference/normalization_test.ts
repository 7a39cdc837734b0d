import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { rmsNorm, rmsNormBackward } from "./normalization.ts";

const [M, D, EPSILON] = [3, 5, 0.01];
const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

Deno.test("rmsNorm divides by the root mean square of each row", () => {
  const output = new Float64Array(4);
  rmsNorm(
    Float64Array.of(3, -4, 0, 0),
    Float64Array.of(1, 2),
    output,
    { M: 2, D: 2 },
    0,
  );
  assertClose(output.subarray(0, 2), [3 / Math.sqrt(12.5), -8 / Math.sqrt(12.5)]);
  rmsNorm(Float64Array.of(3, -4, 0, 0), Float64Array.of(1, 2), output, { M: 2, D: 2 }, 12.5);
  assertClose(output, [0.6, -1.6, 0, 0]);
});

Deno.test("rmsNorm without epsilon does not see the scale of its input", () => {
  const [input, weight] = [floats("input", M * D), floats("weight", D)];
  const [once, scaled] = [new Float64Array(M * D), new Float64Array(M * D)];
  rmsNorm(input, weight, once, { M, D }, 0);
  rmsNorm(input.map((x) => 1000 * x), weight, scaled, { M, D }, 0);
  assertClose(scaled, once);
});

Deno.test("rmsNormBackward is the gradient of rmsNorm", () => {
  const [input, weight] = [floats("input", M * D), floats("weight", D)];
  const gradOutput = floats("gradOutput", M * D);
  const gradInput = new Float64Array(M * D).fill(NaN);
  const gradWeight = new Float64Array(D);
  const backward = (accumulate: boolean) =>
    rmsNormBackward(
      input,
      weight,
      gradOutput,
      gradInput,
      gradWeight,
      { M, D },
      EPSILON,
      accumulate,
    );
  backward(false);
  const loss = () => {
    const output = new Float64Array(M * D);
    rmsNorm(input, weight, output, { M, D }, EPSILON);
    return dot(output, gradOutput);
  };
  checkGradient("gradInput", input, gradInput, loss);
  checkGradient("gradWeight", weight, gradWeight, loss);

  const once = [gradInput.slice(), gradWeight.slice()] as const;
  backward(true);
  assertClose(gradInput, once[0].map((value) => 2 * value));
  assertClose(gradWeight, once[1].map((value) => 2 * value));
});
