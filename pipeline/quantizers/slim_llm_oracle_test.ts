// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * SliM-LLM against NumPy in float64, on the layers of a real model.
 *
 * Codes must be equal except at ties; a code that differs moves all columns to come, so each row is
 * compared up to its first difference, which has to be a tie.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { calibrationOf, correlatedInputs } from "../../tests/support/layer_inputs.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";
import { OracleFolder } from "../../tests/support/oracle_folder.ts";
import { findPython } from "../environment/oracles.ts";
import { unpackMixedCodes } from "../formats/mixed_weight.ts";
import { modelLinears } from "../models/architecture.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { quantizerSchema } from "./registry.ts";
import { slimLlm, type SlimLlmParameters } from "./slim_llm.ts";

const SCRIPT = new URL("../../tests/oracles/slim_llm.py", import.meta.url);

/** In steps of the grid; two ways of summing round apart by less. */
const TIE = 1e-9;

const MODES: readonly Partial<SlimLlmParameters>[] = [
  {},
  { bits: 3, group_size: 16, objective: "reverse-kl", pairs: "code" },
  { bits: 2, group_size: 16, one_bit: "code", salient_weight: 3, exponent: 2 },
  { bits: 2, group_size: 8, one_bit: "paper", salient: "weights", salient_weight: 2 },
  { bits: 4, objective: "mse", damping: 0.05 },
];

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : NO_TEST_DATA;

testUnless(missing, "SliM-LLM of real layers against NumPy in float64", async () => {
  using model = ModelFolder.open(join(TEST_DATA, "models/tinystories-656k"));
  using folder = new OracleFolder();
  const linears = modelLinears(model.config).filter(({ path }) =>
    /layers\.0.*(k_proj|down_proj)/.test(path)
  );
  const cases = linears.flatMap((linear, seed) => {
    const { path, rows, columns } = linear;
    const dense = new Float32Array(rows * columns);
    model.readWeight(linear, dense);
    const sample = correlatedInputs(columns, 2 * columns, seed);
    const weights = folder.write(`${path}.weights`, dense);
    const inputs = folder.write(`${path}.inputs`, sample);
    return MODES.map((mode, index) => {
      const options = quantizerSchema.parse({ method: "slim-llm", ...mode }) as SlimLlmParameters;
      const name = `${path}.${index}`;
      return { name, weights, inputs, rows, columns, dense, sample, options };
    });
  });
  await folder.run(python ?? "", SCRIPT, {
    cases: cases.map(({ options, dense: _, sample: __, ...rest }) => ({ ...options, ...rest })),
  });
  let tied = 0;
  const pairs = new Set<number>();
  for (const { name, rows, columns, dense, sample, options } of cases) {
    const weight = slimLlm.quantize(
      dense,
      rows,
      columns,
      options,
      name,
      calibrationOf(sample, columns),
    );
    assert(weight.format === "mixed");
    assert.deepEqual(weight.widths, folder.bytes(`${name}.widths.u1`), name);
    pairs.add(weight.widths.filter((width) => width < options.bits).length);
    const codes = unpackMixedCodes(weight.codes, weight.widths, rows, options.group_size);
    const expected = folder.bytes(`${name}.codes.u1`);
    const margins = folder.floats(`${name}.margins.f8`);
    const [scales, zeros] = ["scales", "zeros"].map((part) => folder.floats(`${name}.${part}.f8`));
    const groups = columns / options.group_size;
    for (let row = 0; row < rows; row++) {
      const [start, end] = [row * columns, (row + 1) * columns];
      const first = codes.subarray(start, end)
        .findIndex((code, column) => code !== expected[start + column]);
      if (first >= 0) {
        assert(margins[start + first]! < TIE, `${name}: row ${row}, input ${first} differs`);
        tied++;
        continue;
      }
      for (let group = row * groups; group < (row + 1) * groups; group++) {
        assert.equal(weight.scales[group], scales![group], `${name}: scale of row ${row}`);
        assert.equal(weight.zeros[group], zeros![group]! + 0, `${name}: zero of row ${row}`);
      }
    }
  }
  assert(tied <= 1, `${tied} rows have ties`);
  // Otherwise nothing would have been allocated.
  assert(Math.max(...pairs) > 0, `pairs: ${[...pairs]}`);
});
