import assert from "node:assert/strict";
import { basisSize, blockLanczos, type LinearMap } from "./block_lanczos.ts";
import type { Matrix } from "./matrix.ts";
import { multiply } from "./multiply.ts";
import { flip, gaussian } from "./testing/matrices.ts";

const SIZE = 320;

function randomMap(): LinearMap {
  const source = gaussian(SIZE, SIZE, 1);
  const flipped = flip(source);
  return {
    rows: SIZE,
    columns: SIZE,
    apply: (vectors) => multiply(vectors, flipped),
    applyTransposed: (vectors) => multiply(vectors, source),
  };
}

Deno.test("a map whose transpose is another map's gives no result", () => {
  const map = randomMap();
  assert.notEqual(blockLanczos(map, 3), null);
  assert.equal(blockLanczos(map, 3, 1), null);
  // Off by little: the residuals of the last check find it.
  const applyTransposed = (vectors: Matrix) => {
    const images = map.applyTransposed(vectors);
    return { ...images, values: images.values.map((value) => value * (1 + 1e-8)) };
  };
  assert.equal(blockLanczos({ ...map, applyTransposed }, 3, 10), null);
  assert.equal(blockLanczos({ ...map, applyTransposed: map.apply }, 3, 10), null);
});

Deno.test("a map that is smaller than the basis is refused", () => {
  const map = { ...randomMap(), rows: basisSize(3) - 1 };
  assert.throws(() => blockLanczos(map, 3), /is too small for a basis of/);
});
