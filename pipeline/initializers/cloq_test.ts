// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import type { HostModule } from "../adapters/adapter.ts";
import { identity, type Matrix, matrix, transpose } from "../linalg/matrix.ts";
import { cloq, type CloqParameters } from "./cloq.ts";
import { loftq } from "./loftq.ts";
import { quailora, solveLeft } from "./quailora.ts";
import { storeUpdate } from "./pooled_factors.ts";
import { reduceProblem } from "./pooled_problem.ts";
import {
  baseError,
  eigenvalues,
  expand,
  gramMatrix,
  product,
  remainder,
  squaredNorm,
  tailSum,
  type TestLayer,
  testLayer,
} from "./testing/layers.ts";

function run(layer: TestLayer, options: Partial<CloqParameters> = {}) {
  return cloq.initialize(
    layer,
    { method: "cloq", iterations: 1, split: "sigma_on_a", ridge: 0, ...options },
  );
}

function calibratedError(layer: TestLayer, result = run(layer)): number {
  return squaredNorm(remainder(layer, result), layer.calibration.gram);
}

/** Squares of the singular values of `R E`: eigenvalues of `E H Eᵀ`. */
function spectrum(layer: TestLayer): number[] {
  const error = baseError(layer);
  return eigenvalues(product(product(error, layer.calibration.gram), transpose(error)));
}

function assertNear(found: number, expected: number, tolerance: number, message = ""): void {
  assert(Math.abs(found - expected) <= tolerance, `${message}: ${found} instead of ${expected}`);
}

Deno.test("I-19: the error is the tail of the squared singular values of R E", () => {
  for (const rank of [1, 4, 9]) {
    for (const alpha of [rank, 1, 32]) { // I-25: the scale of the adapter is part of the product
      const layer = testLayer({ rank, alpha });
      const expected = tailSum(spectrum(layer), rank);
      assertNear(calibratedError(layer), expected, 1e-6 * expected, `rank ${rank}`);
    }
  }
});

Deno.test("I-20: no other start on the same base is better", () => {
  const layer = testLayer();
  const best = calibratedError(layer);
  const a = matrix(4, 32, Float64Array.from({ length: 128 }, (_, i) => Math.sin(i * i)));
  const problem = reduceProblem(baseError(layer), layer.calibration.gram, layer.shape, "layer");
  const { left } = solveLeft(problem, { left: a, right: a }, "layer");
  const anyA = storeUpdate(layer, { left, right: a });
  assert(best < calibratedError(layer, { module: anyA }), "random A with the best B for it");
  const before = squaredNorm(baseError(layer), layer.calibration.gram);
  assert(best < 0.9 * before);
  assert(
    best < calibratedError(layer, loftq.initialize(layer, { method: "loftq", iterations: 1 })),
  );
  for (const rounds of [1, 5, 20]) {
    const result = quailora.initialize(layer, { method: "quailora", rounds });
    assert(best <= calibratedError(layer, result) * (1 + 1e-6), `${rounds} rounds`);
  }
});

Deno.test("I-20: brute force: gradient descent on A and B from random starts ends no lower", () => {
  const layer = testLayer({ rows: 6, columns: 8, groupSize: 4, rank: 2, alpha: 2 });
  const { gram } = layer.calibration;
  const error = baseError(layer);
  const optimum = tailSum(spectrum(layer), 2);
  let lowest = Infinity;
  for (let start = 0; start < 6; start++) {
    const random = new RandomStream(start, "start");
    let left = matrix(6, 2, Float64Array.from({ length: 12 }, (_, i) => random.normal(i)));
    let right = matrix(2, 8, Float64Array.from({ length: 16 }, (_, i) => random.normal(i + 12)));
    let step = 1e-2;
    let found = objective(error, gram, left, right);
    for (let iteration = 0; iteration < 4000; iteration++) {
      const residual = subtract(error, product(left, right));
      const weighted = product(residual, gram);
      const nextLeft = add(left, product(weighted, transpose(right)), step);
      const nextRight = add(right, product(transpose(left), weighted), step);
      const next = objective(error, gram, nextLeft, nextRight);
      if (next <= found) {
        [left, right, found] = [nextLeft, nextRight, next];
        step *= 1.1;
      } else step /= 2;
    }
    lowest = Math.min(lowest, found);
    assert(found >= optimum * (1 - 1e-9), `${found} below ${optimum}`);
  }
  assertNear(lowest, optimum, 1e-3 * optimum, "descent comes close");
  assertNear(calibratedError(layer), optimum, 1e-6 * optimum);
});

function objective(error: Matrix, gram: Matrix, left: Matrix, right: Matrix): number {
  return squaredNorm(subtract(error, product(left, right)), gram);
}

function subtract(left: Matrix, right: Matrix): Matrix {
  return add(left, right, -1);
}

function add(left: Matrix, right: Matrix, factor: number): Matrix {
  return { ...left, values: left.values.map((value, i) => value + factor * right.values[i]!) };
}

Deno.test("I-21: the error falls with the rank and is 0 at the rank of E", () => {
  const errors = [1, 2, 4, 8, 16, 20].map((rank) => calibratedError(testLayer({ rows: 20, rank })));
  errors.slice(1).forEach((error, i) => assert(error < errors[i]!, `${errors}`));
  assert(errors.at(-1)! < 1e-10 * errors[0]!);
});

Deno.test("I-22: H = I gives the truncated SVD of E", () => {
  const layer = testLayer({ gram: identity(32), alpha: 3 });
  const [found, expected] = [
    run(layer),
    loftq.initialize(layer, { method: "loftq", iterations: 1 }),
  ]
    .map(({ module }) => expand(module, 32)); // I-26: products, never factors
  found!.forEach((value, i) => assertNear(value, expected![i]!, 2e-6, `${i}`));
});

Deno.test("I-23: normal equations", () => {
  const layer = testLayer({ alpha: 2 });
  const { module } = run(layer);
  const rest = remainder(layer, { module });
  const b = matrix(24, 4, Float64Array.from(module.b));
  const a = matrix(4, 32, Float64Array.from(module.a!));
  const across = product(transpose(b), rest);
  const along = product(product(rest, layer.calibration.gram), transpose(a));
  const size = Math.sqrt(squaredNorm(baseError(layer)));
  assert(Math.sqrt(squaredNorm(across)) < 1e-6 * size * Math.sqrt(squaredNorm(b)));
  const scale = Math.sqrt(
    squaredNorm(baseError(layer), layer.calibration.gram) *
      squaredNorm(a, layer.calibration.gram),
  );
  assert(Math.sqrt(squaredNorm(along)) < 1e-6 * scale);
});

Deno.test("I-24: a singular H reaches the tail too, down to one token", () => {
  for (const tokens of [20, 3, 1]) {
    const layer = testLayer({ tokens });
    const values = spectrum(layer);
    const expected = tailSum(values, 4);
    assertNear(calibratedError(layer), expected, 1e-6 * values[0]!, `${tokens} tokens`);
  }
});

Deno.test("I-3: the scale of H changes no product", () => {
  const gram = gramMatrix(200, 32, 1);
  const products = [1, 1e-9, 1e9].map((factor) => {
    const values = gram.values.map((value) => value * factor);
    return expand(run(testLayer({ gram: { ...gram, values } })).module, 32);
  });
  for (const other of products.slice(1)) {
    other.forEach((value, i) => assertNear(value, products[0]![i]!, 2e-6));
  }
});

Deno.test("splits have one product, and put the singular values where they say", () => {
  const layer = testLayer({ alpha: 2 });
  const splits = ["sigma_on_a", "sqrt", "sigma_on_b"] as const;
  const modules = splits.map((split) => run(layer, { split }).module);
  const deltas = modules.map((module) => expand(module, 32));
  for (const delta of deltas.slice(1)) {
    delta.forEach((value, i) => assertNear(value, deltas[0]![i]!, 2e-6));
  }
  const sigma = spectrum(layer).slice(0, 4).map(Math.sqrt);
  const factor = layer.shape.scale;
  modules.forEach((module, index) => {
    const power = index / 2;
    lengths(module, layer.calibration.gram).forEach(({ a, b }, k) => {
      const [expectedA, expectedB] = [sigma[k]! ** (1 - power), sigma[k]! ** power];
      const share = index === 1 ? Math.sqrt(factor) : 1;
      assertNear(a * share, expectedA, 1e-4 * expectedA, `${splits[index]} A ${k}`);
      assertNear(b * factor / share, expectedB, 1e-4 * expectedB, `${splits[index]} B ${k}`);
    });
  });
});

/** Calibrated norms of the rows of A, and norms of the columns of B. */
function lengths({ a, b, shape: { rank } }: HostModule, gram: Matrix) {
  return Array.from({ length: rank }, (_, k) => ({
    a: Math.sqrt(
      squaredNorm(matrix(1, 32, Float64Array.from(a!.subarray(32 * k, 32 * k + 32))), gram),
    ),
    b: Math.sqrt(b.reduce((sum, value, i) => i % rank === k ? sum + value ** 2 : sum, 0)),
  }));
}

Deno.test("a ridge makes the pair optimal for the norm with it", () => {
  const layer = testLayer({ tokens: 10 });
  const { gram } = layer.calibration;
  const ridge = 0.1;
  let trace = 0;
  for (let i = 0; i < 32; i++) trace += gram.values[i * 33]!;
  const damped = matrix(
    32,
    32,
    gram.values.map((value, i) => i % 33 === 0 ? value + ridge * trace / 32 : value),
  );
  const expected = squaredNorm(
    remainder(layer, run(testLayer({ tokens: 10, gram: damped }))),
    damped,
  );
  const found = squaredNorm(remainder(layer, run(layer, { ridge })), damped);
  assertNear(found, expected, 1e-6 * expected);
  assert(found < squaredNorm(remainder(layer, run(layer)), damped) * (1 - 1e-6));
});

Deno.test("a rank above the layer's: the surplus adds nothing and can be trained", () => {
  const layer = testLayer({ rows: 8, rank: 12, alpha: 12 });
  for (const split of ["sigma_on_a", "sqrt", "sigma_on_b"] as const) {
    const { module, remarks } = run(layer, { split });
    assert.deepEqual(remarks, [
      "its correction has rank 8: the other 4 of 12 components start as zero",
    ]);
    for (let k = 8; k < 12; k++) {
      assert(module.a!.subarray(32 * k, 32 * k + 32).some((value) => value !== 0));
      for (let row = 0; row < 8; row++) assert.equal(module.b[row * 12 + k], 0);
    }
    assert(calibratedError(layer, { module }) < 1e-10 * spectrum(layer)[0]!);
  }
});

Deno.test("iterated: best of the alternation, never worse than once, and it returns its base", () => {
  for (const bits of [2, 3, 4] as const) {
    const layer = testLayer({ bits, rank: 6, alpha: 3 });
    const errors = [1, 2, 4, 8].map((iterations) => {
      const result = run(layer, { iterations });
      const left = calibratedError(layer, result);
      const total = squaredNorm(
        matrix(24, 32, Float64Array.from(layer.original)),
        layer.calibration.gram,
      );
      assertNear(result.error!.after, left / total, 1e-9, "as reported");
      return left;
    });
    errors.slice(1).forEach((error, i) => assert(error <= errors[i]! * (1 + 1e-9), `${errors}`));
    const five = loftq.initialize(layer, { method: "loftq", iterations: 5 });
    assert(errors.at(-1)! < calibratedError(layer, five), `${bits} bits`);
  }
  const two = testLayer({ rank: 6 });
  assert(calibratedError(two, run(two, { iterations: 8 })) < calibratedError(two));
  assert(run(two, { iterations: 8 }).base !== undefined);
});

Deno.test("iterated: a quantizer that only makes it worse is not listened to", () => {
  const layer = testLayer();
  const requests: Float32Array[] = [];
  const stubborn = {
    ...layer,
    requantize(weights: Float32Array) {
      requests.push(weights);
      return layer.requantize(weights.map((value, i) => i % 2 === 0 ? 3 * value : -value));
    },
  };
  const result = run(stubborn, { iterations: 3 });
  assert.equal(requests.length, 2);
  assert.notDeepEqual(requests[1], requests[0], "the alternation goes on from its last pair");
  assert.equal(result.base, undefined);
  assert.deepEqual(result.module, run(layer).module);
  const mended = { ...layer, requantize: null };
  assert.throws(() => run(mended as unknown as TestLayer, { iterations: 2 }), /quantize stage/);
});

Deno.test("storing an update leaves its product as it is, whatever the weights", () => {
  const layer = testLayer({ rank: 2, alpha: 5, rows: 4, columns: 8, groupSize: 4 });
  const left = matrix(4, 2, Float64Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  const right = matrix(2, 8, Float64Array.from({ length: 16 }, (_, i) => i - 5));
  const expected = product(left, right);
  for (const weights of [undefined, Float64Array.of(4, 0.5)]) {
    expand(storeUpdate(layer, { left, right }, weights), 8).forEach((value, i) => {
      assertNear(value, expected.values[i]!, 1e-5);
    });
  }
});
