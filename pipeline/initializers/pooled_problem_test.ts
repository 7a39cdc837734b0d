// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { tileUpdate } from "../adapters/merge.ts";
import { UserError } from "../errors.ts";
import { type Matrix, matrix } from "../linalg/matrix.ts";
import { calibratedNorm, changeOfNorm, storedUpdate, withError } from "./pooled_error.ts";
import { storeUpdate } from "./pooled_factors.ts";
import { reduceProblem } from "./pooled_problem.ts";
import {
  baseError,
  gramMatrix,
  remainder,
  squaredNorm,
  type TestLayer,
  testLayer,
} from "./testing/layers.ts";

const FORMS = [
  { form: "lora" },
  { form: "qa-lora" },
  { form: "q-blora", lambda: 2 },
  { form: "qa-blora", blockRows: 2 },
  { form: "qa-hira", blockRows: 3 },
] as const;

function random(rows: number, columns: number, seed: number): Matrix {
  const stream = new RandomStream(seed, "update");
  const values = Float64Array.from({ length: rows * columns }, (_, i) => stream.normal(i));
  return matrix(rows, columns, values);
}

function randomModule(layer: TestLayer, seed: number) {
  const { a, b } = layer.shape;
  const right = a === null ? null : random(...a, seed + 10);
  return storeUpdate(layer, { left: random(...b, seed), right });
}

function assertNear(found: number, expected: number, tolerance: number, message = ""): void {
  assert(Math.abs(found - expected) <= tolerance, `${message}: ${found} instead of ${expected}`);
}

Deno.test("the reduced problem differs from the whole one by a constant, for every form", () => {
  for (const options of FORMS) {
    for (const pooling of ["average", "sum"] as const) {
      const layer = testLayer({ ...options, pooling, alpha: 3 });
      const { shape, calibration: { gram } } = layer;
      const { target, gram: pooled } = reduceProblem(baseError(layer), gram, shape, "layer");
      const [first, ...others] = [1, 2, 3].map((seed) => {
        const module = randomModule(layer, seed);
        const tiles = tileUpdate(module).map((value, i) => value - target.values[i]!);
        const whole = squaredNorm(remainder(layer, { module }), gram);
        return {
          whole,
          constant: whole - shape.repeat * squaredNorm({ ...target, values: tiles }, pooled),
        };
      });
      for (const other of others) {
        const tolerance = 1e-6 * (other.whole + first!.whole);
        assertNear(other.constant, first!.constant, tolerance, `${options.form} ${pooling}`);
      }
    }
  }
});

Deno.test("normal equations: what the optimum leaves is uncorrelated with pooled inputs", () => {
  for (const options of FORMS) {
    const layer = testLayer(options);
    const { shape, calibration: { gram }, linear: { rows, columns } } = layer;
    const { target } = reduceProblem(baseError(layer), gram, shape, "layer");
    const [outputs, inputs] = [rows / shape.repeat, columns / shape.pool];
    const error = baseError(layer);
    // Rᵀ (E - R C* Gᵀ) H G, entry by entry.
    for (let output = 0; output < outputs; output++) {
      for (let input = 0; input < inputs; input++) {
        let sum = 0;
        let scale = 0;
        for (let row = output * shape.repeat; row < (output + 1) * shape.repeat; row++) {
          for (let i = 0; i < columns; i++) {
            const tile = target.values[output * inputs + Math.floor(i / shape.pool)]!;
            for (let j = input * shape.pool; j < (input + 1) * shape.pool; j++) {
              const value = gram.values[i * columns + j]!;
              sum += (error.values[row * columns + i]! - tile) * value;
              scale += Math.abs(error.values[row * columns + i]! * value);
            }
          }
        }
        assertNear(sum, 0, 1e-6 * scale, `${options.form} ${output} ${input}`); // ridge 1e-8
      }
    }
  }
});

Deno.test("without pools and repeats nothing is reduced and nothing solved", () => {
  const layer = testLayer({ tokens: 5 });
  const error = baseError(layer);
  const { target, gram, remarks } = reduceProblem(
    error,
    layer.calibration.gram,
    layer.shape,
    "layer",
  );
  assert.equal(target, error);
  assert.equal(gram, layer.calibration.gram);
  assert.deepEqual(remarks, []);
});

Deno.test("a singular pooled Gram matrix has a finite optimum, no worse than nothing", () => {
  const dead = gramMatrix(100, 32, 1);
  for (let i = 0; i < 32; i++) {
    for (let j = 8; j < 16; j++) {
      dead.values[i * 32 + j] = dead.values[j * 32 + i] = 0; // group 1 of the inputs is always 0
    }
  }
  for (const gram of [gramMatrix(2, 32, 1), dead, matrix(32, 32)]) {
    const layer = testLayer({ form: "qa-hira", gram });
    const error = baseError(layer);
    const { target, remarks } = reduceProblem(error, gram, layer.shape, "layer");
    assert(target.values.every(Number.isFinite));
    assert.deepEqual(remarks, []);
    const module = storeUpdate(layer, { left: target, right: null });
    const [before, after] = [error, remainder(layer, { module })].map((e) => squaredNorm(e, gram));
    assert(after! <= before! * (1 + 1e-6), `${after} of ${before}`);
  }
});

Deno.test("a slightly indefinite Gram matrix takes a larger ridge and says so", () => {
  const gram = gramMatrix(2, 32, 1); // rank 2
  for (let i = 0; i < 32; i++) gram.values[i * 33]! -= 1e-6 * gram.values[0]!;
  const layer = testLayer({ form: "qa-lora", gram });
  const { target, remarks } = reduceProblem(baseError(layer), gram, layer.shape, "layer");
  assert(target.values.every(Number.isFinite));
  assert.match(
    remarks.join(),
    /pooled Gram matrix is singular: solved with a ridge of 0?\.?[01e.-]+/,
  );
});

Deno.test("an indefinite Gram matrix is refused by the name of the layer", () => {
  const gram = gramMatrix(100, 32, 1);
  for (let i = 0; i < 32; i++) gram.values[i * 33]! *= 0.3;
  const layer = testLayer({ form: "qa-lora", gram });
  assert.throws(
    () => reduceProblem(baseError(layer), gram, layer.shape, "layers.7.up_proj"),
    (error) =>
      error instanceof UserError && /layers\.7\.up_proj is not positive/.test(error.message),
  );
});

Deno.test("calibrated norms and their changes equal sums over all elements", () => {
  for (const options of FORMS) {
    const layer = testLayer(options);
    const { calibration: { gram }, shape } = layer;
    const error = baseError(layer);
    const expected = squaredNorm(error, gram);
    assertNear(calibratedNorm(error, gram), expected, 1e-12 * expected, options.form);
    const module = randomModule(layer, 4);
    const changed = squaredNorm(remainder(layer, { module }), gram);
    const change = changeOfNorm(error, gram, storedUpdate(module), shape);
    assertNear(change, changed - expected, 1e-10 * changed, options.form);
  }
});

Deno.test("calibrated norms of matrices wider than a slab", () => {
  const [rows, columns] = [2, 1100];
  const gram = matrix(columns, columns);
  const entry = random(columns, 1, 1).values;
  for (let i = 0; i < columns; i++) {
    for (let j = 0; j < columns; j++) gram.values[i * columns + j] = entry[i]! * entry[j]!;
  }
  const difference = random(rows, columns, 2);
  const expected = squaredNorm(difference, gram);
  assertNear(calibratedNorm(difference, gram), expected, 1e-12 * expected);
});

Deno.test("errors are shares of the layer's outputs, before and after", () => {
  const layer = testLayer({ form: "q-blora" });
  const { calibration: { gram }, original } = layer;
  const result = {
    module: randomModule(layer, 1),
    base: layer.requantize(original.map((w) => w / 2)),
  };
  const total = squaredNorm(matrix(24, 32, Float64Array.from(original)), gram);
  const { error } = withError(layer, result);
  assertNear(error!.before, squaredNorm(baseError(layer), gram) / total, 1e-12, "before");
  const after = squaredNorm(remainder(layer, result), gram) / total;
  assertNear(error!.after, after, 1e-10 * after, "after");
  assert.equal(withError({ ...layer, calibration: null }, result), result);
  assert.equal(withError({ ...layer, original: null }, result), result);
});

Deno.test("inputs that are always 0 leave no error and no NaN", () => {
  const layer = testLayer({ gram: matrix(32, 32) });
  const { error } = withError(layer, { module: randomModule(layer, 1) });
  assert.deepEqual(error, { before: 0, after: 0 });
});
