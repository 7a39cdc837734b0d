// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { columnSum, linear, linearTransposed, matmul } from "./linear.ts";

const M = 3, K = 5, N = 4;
const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));

Deno.test("linear multiplies rows by rows and adds the bias", () => {
  const output = new Float64Array(4);
  const weight = Float64Array.of(1, 10, 100, 1000);
  linear(Float64Array.of(1, 2, 3, 4), weight, null, output, { M: 2, K: 2, N: 2 }, false);
  assert.deepEqual([...output], [21, 2100, 43, 4300]);
  const bias = Float64Array.of(0.5, -0.5);
  linear(Float64Array.of(1, 2, 3, 4), weight, bias, output, { M: 2, K: 2, N: 2 }, true);
  assert.deepEqual([...output], [42.5, 4199.5, 86.5, 8599.5]);
});

Deno.test("linearTransposed is the gradient of linear", () => {
  const [x, w, dy] = [floats("x", M * K), floats("w", N * K), floats("dy", M * N)];
  const dx = new Float64Array(M * K);
  linearTransposed(dy, w, dx, { M, K, N }, false);
  checkGradient("dx", x, dx, () => {
    const y = new Float64Array(M * N);
    linear(x, w, null, y, { M, K, N }, false);
    return dot(y, dy);
  });
  const twice = dx.slice();
  linearTransposed(dy, w, twice, { M, K, N }, true);
  assertClose(twice, dx.map((value) => 2 * value));
});

Deno.test("matmul tn is the gradient of the weight, columnSum that of the bias", () => {
  const [x, w, bias] = [floats("x", M * K), floats("w", N * K), floats("bias", N)];
  const dy = floats("dy", M * N);
  const loss = () => {
    const y = new Float64Array(M * N);
    linear(x, w, bias, y, { M, K, N }, false);
    return dot(y, dy);
  };
  const gradWeight = new Float64Array(N * K);
  matmul(dy, x, gradWeight, { M: N, K: M, N: K }, "tn", 1, false);
  checkGradient("dw", w, gradWeight, loss);
  const gradBias = new Float64Array(N);
  columnSum(dy, gradBias, { M, N });
  checkGradient("dbias", bias, gradBias, loss);
  columnSum(dy, gradBias, { M, N });
  assertClose(gradBias.slice(0, 1), [2 * (dy[0]! + dy[N]! + dy[2 * N]!)]);
});

Deno.test("the three orientations of matmul are one product", () => {
  const [left, right] = [floats("left", M * K), floats("right", K * N)];
  const expected = new Float64Array(M * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      for (let k = 0; k < K; k++) expected[m * N + n]! += 2 * left[m * K + k]! * right[k * N + n]!;
    }
  }
  const operands = {
    nn: { left, right },
    nt: { left, right: transpose(right, K, N) },
    tn: { left: transpose(left, M, K), right },
  };
  for (const orientation of ["nn", "nt", "tn"] as const) {
    const { left, right } = operands[orientation];
    const output = new Float64Array(M * N).fill(NaN);
    matmul(left, right, output, { M, K, N }, orientation, 2, false);
    assertClose(output, expected);
    matmul(left, right, output, { M, K, N }, orientation, -2, true);
    assert.ok(output.every((value) => Math.abs(value) < 1e-12));
  }
});

function transpose(matrix: Float64Array, rows: number, columns: number): Float64Array {
  return matrix.map((_, i) => matrix[(i % rows) * columns + Math.floor(i / rows)]!);
}
