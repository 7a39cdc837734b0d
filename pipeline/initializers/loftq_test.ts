// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { dequantizeHost } from "../formats/host_weight.ts";
import { matrix, transpose } from "../linalg/matrix.ts";
import { loftq } from "./loftq.ts";
import {
  baseError,
  eigenvalues,
  expand,
  product,
  remainder,
  squaredNorm,
  tailSum,
  type TestLayer,
  testLayer,
} from "./testing/layers.ts";

function run(layer: TestLayer, iterations = 1) {
  return loftq.initialize(layer, { method: "loftq", iterations });
}

/** The layer on the base that a result brought, for what is true of "the returned Q". */
function onItsBase(layer: TestLayer, result: ReturnType<typeof run>): TestLayer {
  return { ...layer, base: result.base ?? layer.base };
}

Deno.test("I-15: the pair is the truncated SVD of W - Q, for the Q that is returned", () => {
  for (const iterations of [1, 5]) {
    for (const alpha of [4, 1, 32]) { // I-25
      const layer = testLayer({ alpha });
      const result = run(layer, iterations);
      const error = baseError(onItsBase(layer, result));
      const spectrum = eigenvalues(product(error, transpose(error)));
      const left = squaredNorm(remainder(layer, result));
      // Eckart-Young: the tail of the squared singular values, reached by no other pair.
      const tail = tailSum(spectrum, 4);
      assert(Math.abs(left - tail) < 1e-6 * tail, `${left} instead of ${tail}`);
      assert(left <= squaredNorm(error));
    }
  }
});

Deno.test("I-15: no rounds are plain quantization; full rank leaves nothing", () => {
  const layer = testLayer();
  const none = run(layer, 0);
  assert.equal(none.base, undefined);
  assert(none.module.b.every((value) => value === 0));
  assert(none.module.a!.some((value) => value !== 0));
  const full = testLayer({ rank: 24, alpha: 3 });
  assert(squaredNorm(remainder(full, run(full))) < 1e-11 * squaredNorm(baseError(full)));
});

Deno.test("each round quantizes the weights without the adapter of the round before", () => {
  const layer = testLayer({ alpha: 2 });
  const requests: Float32Array[] = [];
  const recorded = {
    ...layer,
    requantize(weights: Float32Array) {
      requests.push(weights);
      return layer.requantize(weights);
    },
  };
  const third = run(recorded, 3);
  assert.equal(requests.length, 2);
  const second = run(layer, 2);
  const delta = expand(second.module, 32);
  requests[1]!.forEach((value, i) => {
    assert(Math.abs(value - (layer.original[i]! - delta[i]!)) < 1e-5);
  });
  assert.deepEqual(third.base, layer.requantize(requests[1]!));
  assert.equal(run(layer, 1).base, undefined, "the first Q is the base itself");
});

Deno.test("more rounds help at INT2, though not each of them", () => {
  const layer = testLayer({ rank: 8, alpha: 8 });
  const [one, five] = [1, 5].map((rounds) => squaredNorm(remainder(layer, run(layer, rounds))));
  assert(five! < one!, `${five} after 5 rounds, ${one} after 1`);
});

Deno.test("pooled forms: the nearest update that is constant on tiles", () => {
  for (const pooling of ["average", "sum"] as const) {
    for (const options of [{ form: "qa-lora" }, { form: "q-blora" }, { form: "qa-blora" }]) {
      const layer = testLayer({ ...options, pooling, alpha: 3 });
      const { pool, repeat, rank } = layer.shape;
      const error = baseError(layer);
      const means = matrix(24 / repeat, 32 / pool);
      error.values.forEach((value, i) => {
        const tile = Math.floor(i / 32 / repeat) * means.columns + Math.floor(i % 32 / pool);
        means.values[tile]! += value / (pool * repeat);
      });
      const spectrum = eigenvalues(product(means, transpose(means)));
      const expected = squaredNorm(error) - pool * repeat * squaredNorm(means) +
        pool * repeat * tailSum(spectrum, rank);
      const left = squaredNorm(remainder(layer, run(layer)));
      assert(Math.abs(left - expected) < 1e-6 * expected, `${options.form}: ${left}, ${expected}`);
    }
  }
});

Deno.test("QA-HiRA starts as the means of tiles, which have no rank to be cut to", () => {
  const layer = testLayer({ form: "qa-hira", alpha: 5, blockRows: 2 });
  const result = run(layer);
  const left = remainder(layer, result);
  const means = new Float64Array(12 * 4);
  left.values.forEach((value, i) => {
    means[Math.floor(i / 64) * 4 + Math.floor(i % 32 / 8)]! += value / 16;
  });
  means.forEach((mean) => assert(Math.abs(mean) < 1e-6, `${mean}`));
  assert(squaredNorm(left) < squaredNorm(baseError(layer)));
});

Deno.test("a rank above that of the error: the surplus adds nothing and can be trained", () => {
  const layer = testLayer({ rows: 8, rank: 12, alpha: 12 });
  const { module } = run(layer);
  for (let k = 0; k < 12; k++) {
    const column = Array.from({ length: 8 }, (_, row) => module.b[row * 12 + k]!);
    const row = module.a!.subarray(k * 32, (k + 1) * 32);
    assert(row.every(Number.isFinite) && row.some((value) => value !== 0), `row ${k} of A`);
    assert.equal(column.some((value) => value !== 0), k < 8, `column ${k} of B`);
  }
  assert(squaredNorm(remainder(layer, { module })) < 1e-11 * squaredNorm(baseError(layer)));
});

Deno.test("an exact base needs no correction", () => {
  const layer = testLayer();
  const original = dequantizeHost(layer.base);
  const { module, error } = run({ ...layer, original });
  assert(module.b.every((value) => value === 0));
  assert.deepEqual(error, { before: 0, after: 0 });
});

Deno.test("A and B have equal norms, with the scale in both", () => {
  for (const alpha of [4, 1, 32]) {
    const { module: { a, b } } = run(testLayer({ alpha }));
    const norm = (values: Float32Array) => values.reduce((sum, value) => sum + value ** 2, 0);
    assert(Math.abs(norm(a!) / norm(b) - 1) < 1e-5);
  }
});
