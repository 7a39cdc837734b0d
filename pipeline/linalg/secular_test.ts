// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { RandomStream } from "../../kernels/random.ts";
import { solveSecular } from "./secular.ts";
import {
  assertNear,
  assertOrthonormalColumns,
  fill,
  plainProduct,
  scaleColumns,
} from "./testing/matrices.ts";

/** Solves, and checks interlacing, orthogonality and the eigenvalue equation. */
function checked(poles: number[], z: number[], rho: number): Float64Array {
  const { values, vectors } = solveSecular(Float64Array.from(poles), Float64Array.from(z), rho);
  const size = poles.length;
  const top = poles[size - 1]! + rho * z.reduce((sum, x) => sum + x * x, 0);
  values.forEach((value, i) => {
    assert(value >= poles[i]! && value <= (poles[i + 1] ?? top * (1 + 1e-15)), `${i}: ${value}`);
  });
  assertOrthonormalColumns(vectors);
  const source = fill(size, size, (i, j) => (i === j ? poles[i]! : 0) + rho * z[i]! * z[j]!);
  const norm = Math.max(...source.values.map(Math.abs)) * size;
  assertNear(
    plainProduct(source, vectors),
    scaleColumns(vectors, values),
    8 * Number.EPSILON * norm,
  );
  return values;
}

Deno.test("closed form: one and two poles", () => {
  assert.deepEqual([...checked([3], [2], 0.5)], [5]);
  // [[1, 1], [1, 3]] = diag(0, 2) + (1, 1)(1, 1)ᵀ has the eigenvalues 2 -+ sqrt(2).
  const values = checked([0, 2], [1, 1], 1);
  assert(Math.abs(values[0]! - (2 - Math.SQRT2)) < 1e-15);
  assert(Math.abs(values[1]! - (2 + Math.SQRT2)) < 1e-15);
});

Deno.test("poles close together, weights of all sizes", () => {
  const stream = new RandomStream(1, "secular test");
  for (const [gap, decades] of [[1, 0], [1e-3, 6], [1e-8, 0], [1e-12, 5]] as const) {
    let pole = -1;
    const poles = Array.from({ length: 40 }, (_, i) => pole += gap * (0.1 + stream.uniform(i)));
    const z = Array.from(
      { length: 40 },
      (_, i) => stream.normal(i) * 10 ** (-decades * stream.uniform(100 + i)),
    );
    for (const rho of [1e-3, 1, 1e3]) checked(poles, z, rho);
  }
});
