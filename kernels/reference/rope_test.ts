// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import type { RopeLayout } from "../device.ts";
import { randomFloats } from "../testing/arrays.ts";
import { assertClose, checkGradient, dot } from "../testing/gradient.ts";
import { rope } from "./rope.ts";

const floats = (name: string, count: number) => Float64Array.from(randomFloats(name, count));
const LAYOUTS: readonly RopeLayout[] = ["half", "interleaved"];

/** Tables of `positions` rows whose pair i turns by `position / 10^i`. */
function tables(positions: number, pairs: number): [Float64Array, Float64Array] {
  const angles = Float64Array.from(
    { length: positions * pairs },
    (_, i) => Math.floor(i / pairs) / 10 ** (i % pairs),
  );
  return [angles.map(Math.cos), angles.map(Math.sin)];
}

Deno.test("rope turns each pair by the angle of its position and leaves the rest", () => {
  const quarter = [Float64Array.of(1, 0), Float64Array.of(0, 1)] as const; // 0, then 90 degrees
  const sizes = { T: 4, heads: 1, headDim: 3, rotaryDim: 2, length: 2 };
  const row = [1, 2, 3];
  const values = Float64Array.from([row, row, row, row].flat());
  rope(values, ...quarter, sizes, "half", false);
  assertClose(values, [1, 2, 3, -2, 1, 3, 1, 2, 3, -2, 1, 3]);
});

Deno.test("layouts pair i with i + d/2 and 2i with 2i + 1: one is a permutation of the other", () => {
  const sizes = { T: 3, heads: 2, headDim: 6, rotaryDim: 4, length: 3 };
  const [cosines, sines] = tables(3, 2);
  const values = floats("values", 36);
  // Features 0..3 of a head: half pairs (0, 2) and (1, 3), interleaved (0, 1) and (2, 3).
  const order = [0, 2, 1, 3, 4, 5];
  const permuted = values.map((_, i) => values[i - i % 6 + order[i % 6]!]!);
  rope(values, cosines, sines, sizes, "half", false);
  rope(permuted, cosines, sines, sizes, "interleaved", false);
  assertClose(permuted, values.map((_, i) => values[i - i % 6 + order[i % 6]!]!));
});

for (const layout of LAYOUTS) {
  const sizes = { T: 6, heads: 2, headDim: 6, rotaryDim: 4, length: 3 };
  const [cosines, sines] = tables(4, 2);

  Deno.test(`inverse rope turns back and is the gradient: ${layout}`, () => {
    const values = floats("values", 72);
    const gradOutput = floats("gradOutput", 72);
    const loss = () => {
      const turned = values.slice();
      rope(turned, cosines, sines, sizes, layout, false);
      return dot(turned, gradOutput);
    };
    const gradient = gradOutput.slice();
    rope(gradient, cosines, sines, sizes, layout, true);
    checkGradient("gradient", values, gradient, loss);
    const back = values.slice();
    rope(back, cosines, sines, sizes, layout, false);
    assert.notDeepEqual(back, values);
    rope(back, cosines, sines, sizes, layout, true);
    assertClose(back, values);
  });

  Deno.test(`products of turned vectors depend on the distance of positions only: ${layout}`, () => {
    const one = { T: 6, heads: 1, headDim: 4, rotaryDim: 4, length: 6 };
    const [cosines, sines] = tables(6, 2);
    const repeated = (name: string) => {
      const row = floats(name, 4);
      const rows = Float64Array.from({ length: 24 }, (_, i) => row[i % 4]!);
      rope(rows, cosines, sines, one, layout, false);
      return rows;
    };
    const [queries, keys] = [repeated("q"), repeated("k")];
    const product = (i: number, j: number) =>
      dot(queries.subarray(4 * i, 4 * i + 4), keys.subarray(4 * j, 4 * j + 4));
    assertClose([product(3, 1), product(5, 3)], [product(2, 0), product(2, 0)]);
    assert.ok(Math.abs(product(3, 1) - product(3, 2)) > 1e-3);
  });
}
