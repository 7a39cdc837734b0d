// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { mergeIntoZeros } from "../adapters/merge.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import { type Matrix, matrix, transpose } from "../linalg/matrix.ts";
import { cloq, type CloqParameters } from "./cloq.ts";
import { loftq } from "./loftq.ts";
import { storeUpdate } from "./pooled_factors.ts";
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

const FORMS = [
  { form: "qa-lora", rank: 2 },
  { form: "q-blora", rank: 2 },
  { form: "qa-blora", rank: 1, blockRows: 2 },
  { form: "qa-hira", blockRows: 2 },
  { form: "q-blora", rank: 2, lambda: 4 },
] as const;

function run(layer: TestLayer, options: Partial<CloqParameters> = {}) {
  return cloq.initialize(
    layer,
    { method: "cloq", iterations: 1, split: "sigma_on_a", ridge: 0, ...options },
  );
}

function calibratedError(layer: TestLayer, result = run(layer)): number {
  return squaredNorm(remainder(layer, result), layer.calibration.gram);
}

/** `[size, size / width]`, 1 where a feature belongs to a pool. */
function indicator(size: number, width: number): Matrix {
  const result = matrix(size, size / width);
  for (let i = 0; i < size; i++) result.values[i * result.columns + Math.floor(i / width)] = 1;
  return result;
}

/** Of a small positive definite matrix, by Gauss and Jordan. */
function inverse({ rows: n, values }: Matrix): Matrix {
  const a = values.slice();
  const result = matrix(n, n);
  for (let i = 0; i < n; i++) result.values[i * n + i] = 1;
  for (let pivot = 0; pivot < n; pivot++) {
    const value = a[pivot * n + pivot]!;
    for (let j = 0; j < n; j++) {
      a[pivot * n + j]! /= value;
      result.values[pivot * n + j]! /= value;
    }
    for (let i = 0; i < n; i++) {
      const factor = a[i * n + pivot]!;
      if (i === pivot) continue;
      for (let j = 0; j < n; j++) {
        a[i * n + j]! -= factor * a[pivot * n + j]!;
        result.values[i * n + j]! -= factor * result.values[pivot * n + j]!;
      }
    }
  }
  return result;
}

/** Least error of any C of the rank, from indicator matrices and the eigenvalues of C* Hp C*ᵀ. */
function optimum(layer: TestLayer): number {
  const { linear: { rows, columns }, shape, calibration: { gram } } = layer;
  const error = baseError(layer);
  const g = indicator(columns, shape.pool);
  const means = product(transpose(indicator(rows, shape.repeat)), error);
  const pooled = product(transpose(g), product(gram, g));
  const correlation = product(means, product(gram, g)); // q times Ē H G
  const gain = eigenvalues(product(product(correlation, inverse(pooled)), transpose(correlation)));
  const kept = shape.a === null ? gain.length : shape.rank;
  const all = tailSum(gain, 0) - tailSum(gain, kept);
  return squaredNorm(error, gram) - all / shape.repeat;
}

Deno.test("the error is the optimum of reduced-rank regression, for every form and pooling", () => {
  for (const options of FORMS) {
    for (const pooling of ["average", "sum"] as const) {
      for (const alpha of [2, 16]) { // I-25
        const layer = testLayer({ ...options, pooling, alpha });
        const expected = optimum(layer);
        const found = calibratedError(layer);
        assert(
          Math.abs(found - expected) < 1e-6 * expected,
          `${options.form} ${found} ${expected}`,
        );
      }
    }
  }
});

Deno.test("pools and repeats of one are CLoQ exactly", () => {
  const plain = testLayer({ rank: 4 });
  const pooled = testLayer({ rank: 4, form: "q-blora", lambda: 1 });
  assert.deepEqual(run(pooled).module, run(plain).module);
});

Deno.test("sums and averages of pools start from one function, with other factors", () => {
  for (const options of FORMS) {
    const [average, sum] = (["average", "sum"] as const).map((pooling) =>
      run(testLayer({ ...options, pooling })).module
    );
    const expected = expand(average!, 32);
    expand(sum!, 32).forEach((value, i) => assert(Math.abs(value - expected[i]!) < 2e-6));
    assert.notDeepEqual(sum!.b, average!.b);
  }
});

Deno.test("never worse than zero, and better than LoftQ", () => {
  for (const options of FORMS) {
    for (const seed of [1, 2, 3]) {
      for (const tokens of [200, 10, 1]) {
        const layer = testLayer({ ...options, seed, tokens });
        const before = squaredNorm(baseError(layer), layer.calibration.gram);
        const after = calibratedError(layer);
        assert(after <= before * (1 + 1e-6), `${options.form} ${tokens}: ${after} of ${before}`);
        const uncalibrated = loftq.initialize(layer, { method: "loftq", iterations: 1 });
        assert(after <= calibratedError(layer, uncalibrated) * (1 + 1e-6));
      }
    }
  }
});

Deno.test("no step in any direction of A and B lowers the error", () => {
  for (const options of FORMS.slice(0, 4)) {
    const layer = testLayer(options);
    const { module } = run(layer);
    const best = calibratedError(layer, { module });
    const random = new RandomStream(1, "directions");
    let draw = 0;
    for (let trial = 0; trial < 20; trial++) {
      for (const step of [1e-1, 1e-2, 1e-3]) {
        const move = (values: Float32Array) => {
          const size = Math.sqrt(
            values.reduce((sum, value) => sum + value ** 2, 0) / values.length,
          );
          return values.map((value) => value + step * size * random.normal(draw++));
        };
        const moved = { ...module, a: module.a && move(module.a), b: move(module.b) };
        const error = calibratedError(layer, { module: moved });
        assert(error >= best * (1 - 1e-6), `${options.form}: ${error} below ${best}`);
      }
    }
  }
});

Deno.test("the merged model has the error of the adapter, with no bit more", () => {
  for (const form of ["qa-lora", "qa-blora", "qa-hira"]) {
    const layer = testLayer({ form, rank: 2, alpha: 8 });
    const { module } = run(layer);
    assert(layer.base.format === "integer");
    const merged = mergeIntoZeros(layer.base, module, "layer");
    const values = dequantizeHost(merged);
    const rest = Float64Array.from(layer.original, (value, i) => value - values[i]!);
    const found = squaredNorm(matrix(24, 32, rest), layer.calibration.gram);
    const expected = calibratedError(layer, { module });
    assert(Math.abs(found - expected) < 1e-5 * expected, `${form}: ${found}, ${expected}`);
    assert.equal(merged.codes, layer.base.codes);
  }
});

Deno.test("iterated: never worse than once, for every form", () => {
  for (const options of FORMS) {
    const layer = testLayer(options);
    const [one, six] = [1, 6].map((iterations) =>
      calibratedError(layer, run(layer, { iterations }))
    );
    assert(six! <= one! * (1 + 1e-9), `${options.form}: ${six}, ${one}`);
  }
});

Deno.test("a rank above the pooled layer's leaves a surplus that adds nothing", () => {
  const layer = testLayer({ form: "qa-lora", rank: 9, alpha: 9 }); // four groups
  const { module } = run(layer);
  for (let k = 4; k < 9; k++) {
    for (let row = 0; row < 24; row++) assert.equal(module.b[row * 9 + k], 0);
    assert(module.a!.subarray(4 * k, 4 * k + 4).some((value) => value !== 0));
  }
  const whole = testLayer({ form: "qa-hira" });
  const single = calibratedError(whole);
  assert(Math.abs(calibratedError(layer) - single) < 1e-6 * single, "the single matrix's optimum");
});

Deno.test("an update of one matrix is stored with the scale divided out", () => {
  const layer = testLayer({ form: "qa-hira", alpha: 3 });
  const [outputs, inputs] = layer.shape.b;
  const left = matrix(
    outputs,
    inputs,
    Float64Array.from({ length: outputs * inputs }, (_, i) => i),
  );
  const delta = expand(storeUpdate(layer, { left, right: null }), 32);
  delta.forEach((value, i) => {
    const expected = left.values[Math.floor(i / 32) * inputs + Math.floor(i % 32 / 8)]!;
    assert(Math.abs(value - expected) < 1e-4);
  });
});
