// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { dequantizeHost, type HostDenseWeight } from "../formats/host_weight.ts";
import { matrix, transpose } from "../linalg/matrix.ts";
import { pissa } from "./pissa.ts";
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

function run(layer: TestLayer) {
  return pissa.initialize(layer, { method: "pissa" });
}

function dense(layer: TestLayer): TestLayer {
  const base: HostDenseWeight = {
    format: "dense",
    rows: layer.linear.rows,
    columns: layer.linear.columns,
    values: layer.original,
  };
  return { ...layer, base };
}

Deno.test("a dense base keeps the tail of the singular values, and the sum is the weight", () => {
  for (const alpha of [4, 1, 32]) {
    const layer = dense(testLayer({ alpha }));
    const result = run(layer);
    const rest = dequantizeHost(result.base!);
    const weights = matrix(24, 32, Float64Array.from(layer.original));
    const tail = tailSum(eigenvalues(product(weights, transpose(weights))), 4);
    const norm = squaredNorm(matrix(24, 32, Float64Array.from(rest)));
    assert(Math.abs(norm - tail) < 1e-6 * tail, `${norm} instead of ${tail}`);
    assert(squaredNorm(remainder(layer, result)) < 1e-11 * squaredNorm(weights));
  }
});

Deno.test("QPiSSA: the base is the quantized residual, with less error than the weight's", () => {
  const layer = testLayer({ rank: 8, alpha: 2 });
  const result = run(layer);
  const delta = expand(result.module, 32);
  const residual = layer.original.map((value, i) => value - delta[i]!);
  const [found, expected] = [result.base!, layer.requantize(residual)].map(dequantizeHost);
  found!.forEach((value, i) => assert(Math.abs(value - expected![i]!) < 1e-5));
  assert(squaredNorm(remainder(layer, result)) < squaredNorm(baseError(layer)));
});

Deno.test("pooled forms split off what is constant on tiles", () => {
  const layer = dense(testLayer({ form: "q-blora", rank: 4, alpha: 3 })); // rank 8
  const result = run(layer);
  assert(squaredNorm(remainder(layer, result)) < 1e-11 * squaredNorm(weightsOf(layer)));
  const rest = squaredNorm(matrix(24, 32, Float64Array.from(dequantizeHost(result.base!))));
  assert(rest < squaredNorm(weightsOf(layer)));
});

function weightsOf(layer: TestLayer) {
  return matrix(24, 32, Float64Array.from(layer.original));
}

Deno.test("QA-HiRA has no rank to take components of, and a strange base no quantizer", () => {
  assert.throws(
    () => run(testLayer({ form: "qa-hira" })),
    /pissa is not defined .* use cloq or loftq/,
  );
  const layer = { ...testLayer(), requantize: null };
  assert.throws(
    () => pissa.initialize(layer, { method: "pissa" }),
    /its base was not made by a quantize stage/,
  );
});
