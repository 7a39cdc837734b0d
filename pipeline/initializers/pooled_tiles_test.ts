// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { type Matrix, matrix, transpose } from "../linalg/matrix.ts";
import {
  inputSums,
  outputMeans,
  outputSums,
  quantizationError,
  spreadInputs,
  tileMeans,
  withoutUpdate,
} from "./pooled_tiles.ts";
import { baseError, expand, product, squaredNorm, testLayer } from "./testing/layers.ts";
import { storeUpdate } from "./pooled_factors.ts";

/** `[size, size / width]`, 1 where a feature belongs to a pool. */
function indicator(size: number, width: number): Matrix {
  const result = matrix(size, size / width);
  for (let i = 0; i < size; i++) result.values[i * result.columns + Math.floor(i / width)] = 1;
  return result;
}

function random(rows: number, columns: number): Matrix {
  const stream = new RandomStream(rows, `tiles ${columns}`);
  return matrix(
    rows,
    columns,
    Float64Array.from({ length: rows * columns }, (_, i) => stream.normal(i)),
  );
}

function assertClose(found: Matrix, expected: Matrix, tolerance = 1e-13): void {
  assert.deepEqual([found.rows, found.columns], [expected.rows, expected.columns]);
  found.values.forEach((value, i) => {
    assert(Math.abs(value - expected.values[i]!) < tolerance, `${value} at ${i}`);
  });
}

function scaled(source: Matrix, factor: number): Matrix {
  return { ...source, values: source.values.map((value) => value * factor) };
}

Deno.test("sums, means and spreads are products with the indicators of pools and repeats", () => {
  const source = random(12, 10);
  for (const width of [1, 2, 5]) {
    assertClose(inputSums(source, width), product(source, indicator(10, width)));
    const spread = product(inputSums(source, width), transpose(indicator(10, width)));
    assertClose(spreadInputs(inputSums(source, width), width), spread);
  }
  for (const width of [1, 2, 3, 12]) {
    const sums = product(transpose(indicator(12, width)), source);
    assertClose(outputSums(source, width), sums);
    assertClose(outputMeans(source, width), scaled(sums, 1 / width));
  }
});

Deno.test("tile means are the nearest update: what is left is orthogonal to every tile", () => {
  const { shape } = testLayer({ form: "q-blora", rows: 12, columns: 10, groupSize: 10 });
  const source = random(12, 10);
  const means = tileMeans(source, shape);
  const rest = matrix(
    12,
    10,
    Float64Array.from(withoutUpdate(source, { left: means, right: null }, shape)),
  );
  assertClose(tileMeans(rest, shape), matrix(6, 5), 1e-6); // f32
  assert(squaredNorm(rest) < squaredNorm(source));
});

Deno.test("what is left without an update is the weight minus what the module stands for", () => {
  for (const pooling of ["average", "sum"] as const) {
    for (const form of ["lora", "qa-lora", "q-blora", "qa-blora", "qa-hira"]) {
      const layer = testLayer({ form, pooling, alpha: 7, rank: 2, rows: 8, columns: 16 });
      const { shape, linear } = layer;
      const [outputs, rank] = shape.b;
      const update = shape.a === null
        ? { left: random(outputs, rank), right: null }
        : { left: random(outputs, rank), right: random(rank, shape.a[1]) };
      const delta = expand(storeUpdate(layer, update), linear.columns);
      const weights = random(8, 16);
      withoutUpdate(weights, update, shape).forEach((value, i) => {
        assert(
          Math.abs(value - (weights.values[i]! - delta[i]!)) < 2e-6,
          `${form} ${pooling} ${i}`,
        );
      });
    }
  }
});

Deno.test("the quantization error is the weight minus what the base stands for", () => {
  const layer = testLayer();
  const weights = matrix(24, 32, Float64Array.from(layer.original));
  assertClose(quantizationError(weights, layer.base), baseError(layer), 1e-15);
});
