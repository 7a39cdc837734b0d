// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * BiLLM against NumPy in float64, on the layers of a real model.
 *
 * Parts, signs, scales and means must be equal, but for ties in the rounding of scales to f16: means of
 * a few f32 weights are half way between two f16 numbers now and then. That moves all columns to come, so
 * each row is compared up to its first difference.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { unpackCodes } from "../../kernels/packing.ts";
import { correlatedGram } from "../../tests/support/correlated.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";
import { OracleFolder } from "../../tests/support/oracle_folder.ts";
import { findPython } from "../environment/oracles.ts";
import { type HostBinaryWeight, isSalient } from "../formats/binary_weight.ts";
import { dequantizeHost } from "../formats/host_weight.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { billm, type BillmParameters } from "./billm.ts";
import { quantizerSchema } from "./registry.ts";

const SCRIPT = new URL("../../tests/oracles/billm.py", import.meta.url);

/** Neighbours in f16, relative to their size. */
const HALF_STEP = 2 ** -10;

const MODES: readonly Partial<BillmParameters>[] = [
  {},
  { rules: "code" },
  { salience: "magnitude", group_size: 64 },
  { compensation: "exact", group_size: 32 },
  { compensation: "exact", rules: "code", group_size: 64, damping: 0.05 },
];

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : NO_TEST_DATA;

testUnless(missing, "BiLLM of real layers against NumPy in float64", async () => {
  using model = ModelFolder.open(join(TEST_DATA, "models/tinystories-656k"));
  using folder = new OracleFolder();
  const linears = modelLinears(model.config).filter(({ path }) =>
    /layers\.1.*(v_proj|down_proj)/.test(path)
  );
  const cases = linears.flatMap((linear, seed) => {
    const { path, rows, columns } = linear;
    const dense = new Float32Array(rows * columns);
    model.readWeight(linear, dense);
    const gramMatrix = correlatedGram(columns, 2 * columns, seed);
    const weights = folder.write(`${path}.weights`, dense);
    const gram = folder.write(`${path}.gram`, gramMatrix.values);
    return MODES.map((mode, index) => {
      const options = quantizerSchema.parse({ method: "billm", ...mode }) as BillmParameters;
      const name = `${path}.${index}`;
      return { name, weights, gram, rows, columns, dense, gramMatrix, options };
    });
  });
  await folder.run(python ?? "", SCRIPT, {
    cases: cases.map(({ options, dense: _, gramMatrix: __, ...rest }) => ({ ...options, ...rest })),
  });
  let tied = 0;
  for (const { name, rows, columns, dense, gramMatrix, options } of cases) {
    const weight = billm.quantize(dense, rows, columns, options, name, {
      gram: gramMatrix,
      tokens: 2 * columns,
      sample: null,
    });
    assert(weight.format === "binary");
    assert.deepEqual(partsOf(weight), folder.bytes(`${name}.parts.u1`), name);
    const numbers = folder.floats(`${name}.scales.f8`);
    const values = folder.floats(`${name}.values.f8`);
    const actual = dequantizeHost(weight);
    const perRow = numbers.length / rows;
    for (let row = 0; row < rows; row++) {
      const stored = Float64Array.from({ length: perRow }, (_, index) => {
        const [place, which] = [Math.floor((row * perRow + index) / 7), index % 7];
        if (which < 4) return weight.scales[4 * place + which]!;
        return weight.means?.[3 * place + which - 4] ?? 0;
      });
      const expected = numbers.subarray(row * perRow, (row + 1) * perRow);
      const first = stored.findIndex((value, index) => value !== expected[index]);
      if (first >= 0) {
        const distance = Math.abs(stored[first]! - expected[first]!);
        assert(distance <= HALF_STEP * Math.abs(expected[first]!), `${name}: row ${row}, ${first}`);
        tied++;
        continue;
      }
      for (let index = row * columns; index < (row + 1) * columns; index++) {
        assert.equal(actual[index], Math.fround(values[index]!), `${name}: weight ${index}`);
      }
    }
  }
  // Of 960 rows.
  assert(tied <= 4, `${tied} rows have ties`);
});

/** 0 concentrated, 1 sparse, 2 salient. */
function partsOf(weight: HostBinaryWeight): Uint8Array {
  const { rows, columns } = weight;
  return unpackCodes(weight.codes, 2, rows, columns)
    .map((code, index) => isSalient(weight.salient, index % columns) ? 2 : code >>> 1);
}
