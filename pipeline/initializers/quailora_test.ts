// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { identity, type Matrix, matrix, transpose } from "../linalg/matrix.ts";
import { cloq } from "./cloq.ts";
import { reduceProblem } from "./pooled_problem.ts";
import { nearestUpdate } from "./pooled_svd.ts";
import { loftq } from "./loftq.ts";
import { quailora, solveLeft, solveRight } from "./quailora.ts";
import {
  baseError,
  expand,
  gramMatrix,
  product,
  remainder,
  squaredNorm,
  type TestLayer,
  testLayer,
} from "./testing/layers.ts";

function calibratedError(layer: TestLayer, rounds: number): number {
  const result = quailora.initialize(layer, { method: "quailora", rounds });
  assert.equal(result.base, undefined);
  return squaredNorm(remainder(layer, result), layer.calibration.gram);
}

function optimum(layer: TestLayer): number {
  const result = cloq.initialize(layer, CLOQ);
  return squaredNorm(remainder(layer, result), layer.calibration.gram);
}

const CLOQ = { method: "cloq", iterations: 1, split: "sigma_on_a", ridge: 0 } as const;
const FORMS = [
  { form: "lora" },
  { form: "qa-lora", rank: 2 },
  { form: "q-blora", rank: 2 },
  { form: "qa-blora", rank: 1, blockRows: 2 },
] as const;

Deno.test("I-16: every half-step lowers the calibrated error, down to the closed form's", () => {
  for (const options of FORMS) {
    const layer = testLayer(options);
    const { shape, calibration: { gram } } = layer;
    const problem = reduceProblem(baseError(layer), gram, shape, "layer");
    const start = nearestUpdate(baseError(layer), shape);
    let factors = { left: start.left, right: start.right! };
    const objective = () => {
      const update = product(factors.left, factors.right);
      const values = update.values.map((value, i) => value - problem.target.values[i]!);
      return squaredNorm({ ...update, values }, problem.gram);
    };
    const errors = [objective()];
    for (let round = 0; round < 20; round++) {
      factors = solveLeft(problem, factors, "layer");
      errors.push(objective());
      factors = solveRight(problem, factors, "layer");
      errors.push(objective());
    }
    errors.slice(1).forEach((error, i) => {
      assert(error <= errors[i]! * (1 + 1e-10), `${options.form}: half-step ${i}: ${errors}`);
    });
    assert(errors[1]! < 0.999 * errors[0]!, `${options.form}: the start was no optimum`);
  }
});

Deno.test("I-16: from the SVD's error at the start to within 1 % of the optimum in 20 rounds", () => {
  for (const options of FORMS) {
    for (const alpha of [4, 1]) { // I-25
      const layer = testLayer({ ...options, alpha });
      const uncalibrated = loftq.initialize(layer, { method: "loftq", iterations: 1 });
      const start = squaredNorm(remainder(layer, uncalibrated), layer.calibration.gram);
      const [first, last] = [1, 20].map((rounds) => calibratedError(layer, rounds));
      const best = optimum(layer);
      assert(first! < start && last! <= first! * (1 + 1e-6), `${start} ${first} ${last}`);
      assert(last! >= best * (1 - 1e-6) && last! < 1.01 * best, `${options.form} ${last} ${best}`);
    }
  }
});

Deno.test("I-17: a round maps the range of B to that of E H Eᵀ B", () => {
  const layer = testLayer();
  const { calibration: { gram } } = layer;
  const error = baseError(layer);
  const problem = reduceProblem(error, gram, layer.shape, "layer");
  const { left, right } = nearestUpdate(error, layer.shape);
  const once = solveRight(problem, solveLeft(problem, { left, right: right! }, "layer"), "layer");
  const result = quailora.initialize(layer, { method: "quailora", rounds: 1 });
  const expectedUpdate = product(once.left, once.right); // B first, then A
  expand(result.module, 32).forEach((value, i) => {
    assert(Math.abs(value - expectedUpdate.values[i]!) < 1e-5);
  });
  const twice = solveLeft(problem, once, "layer");
  const power = product(product(error, gram), product(transpose(error), once.left));
  const [found, expected] = [projector(twice.left), projector(power)];
  found.values.forEach((value, i) => assert(Math.abs(value - expected.values[i]!) < 1e-9));
});

/** The orthogonal projection onto the range of a matrix, by Gram and Schmidt. */
function projector({ rows, columns, values }: Matrix): Matrix {
  const basis: number[][] = [];
  for (let j = 0; j < columns; j++) {
    let vector = Array.from({ length: rows }, (_, i) => values[i * columns + j]!);
    for (let pass = 0; pass < 2; pass++) {
      for (const other of basis) {
        const dot = vector.reduce((sum, value, i) => sum + value * other[i]!, 0);
        vector = vector.map((value, i) => value - dot * other[i]!);
      }
    }
    const norm = Math.hypot(...vector);
    basis.push(vector.map((value) => value / norm));
  }
  const result = matrix(rows, rows);
  for (const vector of basis) {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < rows; j++) result.values[i * rows + j]! += vector[i]! * vector[j]!;
    }
  }
  return result;
}

Deno.test("I-18: with H = I the SVD start is a fixed point", () => {
  const layer = testLayer({ gram: identity(32) });
  const one = remainder(layer, quailora.initialize(layer, { method: "quailora", rounds: 1 }));
  const start = remainder(layer, loftq.initialize(layer, { method: "loftq", iterations: 1 }));
  one.values.forEach((value, i) => assert(Math.abs(value - start.values[i]!) < 1e-5));
});

Deno.test("I-3: the scale of H changes nothing", () => {
  const gram = gramMatrix(200, 32, 1);
  const [plain, scaled] = [1, 1e6].map((factor) => {
    const values = gram.values.map((value) => value * factor);
    const layer = testLayer({ gram: { ...gram, values } });
    return remainder(layer, quailora.initialize(layer, { method: "quailora", rounds: 20 }));
  });
  plain!.values.forEach((value, i) => assert(Math.abs(value - scaled!.values[i]!) < 1e-5));
});

Deno.test("singular Gram matrices: few tokens, dead inputs", () => {
  const dead = gramMatrix(100, 32, 1);
  for (let i = 0; i < 32; i++) {
    for (let j = 0; j < 16; j++) {
      dead.values[i * 32 + j] = dead.values[j * 32 + i] = 0;
    }
  }
  for (const options of FORMS) {
    for (const gram of [gramMatrix(2, 32, 1), dead]) {
      const layer = testLayer({ ...options, gram });
      const before = squaredNorm(baseError(layer), gram);
      const after = calibratedError(layer, 20);
      assert(after <= before * (1 + 1e-6), `${options.form}: ${after} of ${before}`);
    }
  }
});

Deno.test("a rank above that of the layer leaves nothing of the error", () => {
  const layer = testLayer({ rows: 8, rank: 12, alpha: 12 });
  assert(
    calibratedError(layer, 20) < 1e-10 * squaredNorm(baseError(layer), layer.calibration.gram),
  );
});

Deno.test("errors before and after are reported, and QA-HiRA is refused", () => {
  const layer = testLayer();
  const { error } = quailora.initialize(layer, { method: "quailora", rounds: 20 });
  const total = squaredNorm(
    matrix(24, 32, Float64Array.from(layer.original)),
    layer.calibration.gram,
  );
  assert(Math.abs(error!.after - calibratedError(layer, 20) / total) < 1e-9);
  assert.throws(
    () => quailora.initialize(testLayer({ form: "qa-hira" }), { method: "quailora", rounds: 20 }),
    /quailora is not defined .* use cloq/,
  );
});
