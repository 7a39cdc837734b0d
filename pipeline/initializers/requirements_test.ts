// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { type Matrix, matrix } from "../linalg/matrix.ts";
import { gramOf, originalOf, requantizerOf, requirePair } from "./requirements.ts";
import { gramMatrix, testLayer } from "./testing/layers.ts";

function refused(run: () => unknown, message: RegExp): void {
  assert.throws(run, (error) => {
    assert(error instanceof UserError);
    assert.match(error.message, message);
    return true;
  });
}

/** A Gram matrix with one entry, and its mirror image, set. */
function damaged(i: number, j: number, value: number, mirrored = value): Matrix {
  const gram = gramMatrix(50, 32, 1);
  gram.values[i * 32 + j] = value;
  gram.values[j * 32 + i] = mirrored;
  return gram;
}

Deno.test("missing calibration, weights and quantizer are each one sentence with a remedy", () => {
  const layer = testLayer();
  refused(
    () => gramOf({ ...layer, calibration: null }, "cloq"),
    /^cloq needs the inputs of model\.layers\.0\S+ on calibration text; add `calibration:/,
  );
  const nothing = { gram: matrix(0, 0), tokens: 0, sample: null };
  refused(() => gramOf({ ...layer, calibration: nothing }, "cloq"), /needs the inputs/);
  refused(() => originalOf({ ...layer, original: null }, "loftq"), /before they were quantized/);
  refused(() => requantizerOf({ ...layer, requantize: null }, "loftq"), /initialize from one/);
});

Deno.test("weights that are not finite are refused with their place", () => {
  const original = testLayer().original.slice();
  original[3 * 32 + 5] = NaN;
  refused(() => originalOf({ ...testLayer(), original }, "pissa"), /row 3, column 5 is NaN/);
});

Deno.test("a Gram matrix that no inputs have is refused", () => {
  const faults: [Matrix, RegExp][] = [
    [damaged(4, 4, NaN), /inputs 4 and 4 .* is NaN/],
    [damaged(4, 4, Infinity), /inputs 4 and 4 .* is Infinity/],
    [damaged(7, 2, NaN), /inputs 2 and 7 .* is NaN/],
    [damaged(4, 4, -1), /its input 4 is -1/],
    [matrix(32, 32), /all its inputs are 0/],
    [damaged(7, 2, 1e9), /no inputs have its Gram matrix .*inputs 2 and 7: 1000000000/],
    [damaged(7, 2, 0, 0.5), /no inputs have its Gram matrix/], // not symmetric
  ];
  for (const [gram, message] of faults) refused(() => gramOf(testLayer({ gram }), "cloq"), message);
  assert.throws(() => gramOf(testLayer({ gram: matrix(16, 16) }), "cloq"), RangeError);
});

Deno.test("a singular Gram matrix is one, with few tokens or equal inputs", () => {
  const equal = gramMatrix(50, 32, 1);
  for (let i = 0; i < 32; i++) {
    const value = Math.fround(equal.values[i]!) * (1 + 1e-6); // as sums in f32 leave it
    equal.values[i * 32 + 9] = equal.values[9 * 32 + i] = value;
  }
  equal.values[9 * 33] = equal.values[0]!;
  for (const gram of [gramMatrix(2, 32, 1), equal]) {
    assert.equal(gramOf(testLayer({ gram }), "cloq"), gram);
  }
});

Deno.test("methods for pairs refuse QA-HiRA and name what to use", () => {
  const layer = testLayer({ form: "qa-hira" });
  refused(() => requirePair(layer, "quailora", "because"), /because, and qa-hira .* use cloq/);
  requirePair(testLayer({ form: "qa-lora" }), "quailora", "because");
});
