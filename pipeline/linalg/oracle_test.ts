// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Everything against NumPy in float64 (LAPACK, by way of a library that we have not written).
 *
 * @module
 */

import assert from "node:assert/strict";
import { testUnless } from "../../tests/support/optional.ts";
import { findPython } from "../environment/oracles.ts";
import { cholesky, choleskyInverse } from "./cholesky.ts";
import type { Matrix } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { symmetricEigen } from "./symmetric_eigen.ts";
import { svd } from "./svd.ts";
import {
  assertNear,
  assertNumbersNear,
  fill,
  gaussian,
  hilbert,
  plainProduct,
} from "./testing/matrices.ts";
import { leadingEigenvectors, truncatedSvd } from "./truncated_svd.ts";

const NUMPY = `
import json, sys
import numpy as np

def read(matrix):
    return np.array(matrix["values"]).reshape(matrix["rows"], matrix["columns"])

def write(array):
    return {"rows": array.shape[0], "columns": array.shape[1], "values": array.ravel().tolist()}

given = {name: read(matrix) for name, matrix in json.load(sys.stdin).items()}
symmetric, definite = given["symmetric"], given["definite"]
json.dump({
    "product": write(given["wide"] @ symmetric),
    "factor": write(np.linalg.cholesky(definite)),
    "inverse": write(np.linalg.inv(definite)),
    "eigenvalues": np.linalg.eigvalsh(symmetric)[::-1].tolist(),
    "hilbert": np.linalg.svd(given["hilbert"], compute_uv=False).tolist(),
    "singularValues": np.linalg.svd(given["wide"], compute_uv=False).tolist(),
    "errors": np.linalg.svd(given["errors"], compute_uv=False).tolist(),
}, sys.stdout)
`;

interface Answers {
  readonly product: { rows: number; columns: number; values: number[] };
  readonly factor: { rows: number; columns: number; values: number[] };
  readonly inverse: { rows: number; columns: number; values: number[] };
  readonly eigenvalues: number[];
  readonly hilbert: number[];
  readonly singularValues: number[];
  readonly errors: number[];
}

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : null;

async function askNumpy(matrices: Readonly<Record<string, Matrix>>): Promise<Answers> {
  const child = new Deno.Command(python ?? "", {
    args: ["-c", NUMPY],
    ...{ stdin: "piped", stdout: "piped", stderr: "piped" },
  }).spawn();
  const plain = Object.entries(matrices).map(([name, matrix]) =>
    [name, { ...matrix, values: [...matrix.values] }] as const
  );
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify(Object.fromEntries(plain))));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}

function dense(answer: { rows: number; columns: number; values: number[] }): Matrix {
  return { ...answer, values: Float64Array.from(answer.values) };
}

testUnless(missing, "products, factors and spectra agree with NumPy in float64", async () => {
  const random = gaussian(150, 150, 1);
  const symmetric = fill(
    150,
    150,
    (i, j) => random.values[i * 150 + j]! + random.values[j * 150 + i]!,
  );
  const wide = gaussian(110, 150, 2);
  const gram = plainProduct(gaussian(120, 200, 3), gaussian(200, 120, 4));
  const definite = fill(
    120,
    120,
    (i, j) => (gram.values[i * 120 + j]! + gram.values[j * 120 + i]!) / 200 + (i === j ? 4 : 0),
  );
  // Errors of rounding are uniform and independent: as flat a spectrum as quantization leaves.
  const weights = gaussian(520, 540, 5);
  const errors = fill(520, 540, (i, j) => {
    const weight = 3 * weights.values[i * 540 + j]!;
    return weight - Math.round(weight);
  });
  const answers = await askNumpy({ symmetric, wide, definite, hilbert: hilbert(20), errors });

  assertNear(multiply(wide, symmetric), dense(answers.product), 1e-12);
  const lower = cholesky(definite);
  assertNear(lower, dense(answers.factor), 1e-13);
  assertNear(choleskyInverse(lower), dense(answers.inverse), 1e-13);
  assertNumbersNear(symmetricEigen(symmetric).values, answers.eigenvalues, 1e-12);
  assertNumbersNear(svd(hilbert(20)).singularValues, answers.hilbert, 20 * Number.EPSILON);
  assertNumbersNear(svd(wide).singularValues, answers.singularValues, 1e-12);
  const leading = truncatedSvd(errors, 32);
  assertNumbersNear(leading.singularValues, answers.errors.slice(0, 32), 1e-11);
  const squares = leadingEigenvectors(multiply(errors, errors, { transposeRight: true }), 16);
  const expected = answers.errors.slice(0, 16).map((value) => value ** 2);
  assertNumbersNear(squares.values, expected, 1e-9);
});
