import assert from "node:assert/strict";
import { matrix } from "../linalg/matrix.ts";
import { gaussian } from "./gaussian.ts";
import { testLayer } from "./testing/layers.ts";

/** Not read here; that of real inputs takes long to make up. */
const NO_INPUTS = matrix(512, 512);

Deno.test("A has standard deviation 1/rank, B is zero, and layers differ", () => {
  const layer = testLayer({ rank: 8, columns: 512, rows: 8, gram: NO_INPUTS });
  const { a, b } = gaussian.initialize(layer, { method: "gaussian" }).module;
  assert(a !== null);
  assert(b.every((value) => value === 0));
  assert.equal(a.length, 8 * 512);
  const mean = a.reduce((sum, value) => sum + value, 0) / a.length;
  const variance = a.reduce((sum, value) => sum + value ** 2, 0) / a.length;
  // Standard errors over 4096 draws: 1/64 of the deviation, and 2.2 % of the variance.
  assert(Math.abs(mean) < 4 / 64 / 8, `mean ${mean}`);
  assert(Math.abs(64 * variance - 1) < 0.09, `variance ${variance}`);
  const other = { ...layer, linear: { ...layer.linear, path: "other" } };
  assert.notDeepEqual(gaussian.initialize(other, { method: "gaussian" }).module.a, a);
  assert.deepEqual(gaussian.initialize(layer, { method: "gaussian" }).module.a, a);
});

Deno.test("pooled forms have the rank of their pair; the single matrix of QA-HiRA is zero", () => {
  const wide = { columns: 512, rows: 32, gram: NO_INPUTS };
  const layer = testLayer({ form: "q-blora", rank: 8, lambda: 2, ...wide });
  const { a } = gaussian.initialize(layer, { method: "gaussian" }).module;
  assert(a !== null);
  const variance = a.reduce((sum, value) => sum + value ** 2, 0) / a.length;
  assert(Math.abs(256 * variance - 1) < 0.09, `variance ${variance}`);
  const single = gaussian.initialize(testLayer({ form: "qa-hira" }), { method: "gaussian" }).module;
  assert.equal(single.a, null);
  assert(single.b.every((value) => value === 0));
});
