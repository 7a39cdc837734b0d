// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * GPTQ against NumPy in float64, on the layers of a real model and the inputs of real text.
 *
 * Codes must be equal except at ties. Both sides round in float64 what they computed in different
 * orders, so they can differ only where a value was within rounding of half way between two integers.
 * The oracle says how far every value was from that. A code that differs moves all columns to come, so
 * that each row (or each group of rows with common grids) is compared up to its first difference in
 * the order of rounding, and that has to be a tie.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { NO_TEST_DATA, testUnless } from "../../tests/support/optional.ts";
import { bytesOf, realLayers } from "../../tests/support/real_layers.ts";
import { findPython } from "../environment/oracles.ts";
import { type GptqParameters, roundLayer } from "./gptq.ts";
import { quantizerSchema } from "./registry.ts";

const SCRIPT = new URL("../../tests/oracles/gptq.py", import.meta.url).pathname;

/** Closer to a tie than this, two ways of summing may round apart; values are codes, below 256. */
const TIE = 1e-9;

const MODES: readonly Partial<GptqParameters>[] = [
  {},
  { bits: 2, group_size: 128 },
  { bits: 3, group_size: 64, symmetric: true, damping: 0.05 },
  { bits: 2, grid: "fresh", block_size: 64 },
  { bits: 3, block_size: 48, group_size: 32 },
  { bits: 4, act_order: true, static_groups: true },
  { bits: 2, act_order: true, group_size: 16 },
  { bits: 4, block_rows: 8, group_size: 4 },
  { bits: 2, block_rows: 4, group_size: 8, symmetric: true, grid: "fresh" },
  { bits: 3, block_rows: 4, group_size: 8, act_order: true, static_groups: true },
  { bits: 2, mse: true },
  { bits: 8 },
];

const python = await findPython(["numpy"]);
const missing = python === null ? "no Python with NumPy" : NO_TEST_DATA;

testUnless(missing, "codes, grids and errors of real layers against NumPy in float64", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const layers = await writeLayers(folder);
    const cases = layers.flatMap((layer) =>
      MODES.map((mode, index) => ({
        ...layer,
        ...parametersOf(mode),
        name: `${layer.name}.${index}`,
      }))
    );
    const request = join(folder, "request.json");
    await Deno.writeTextFile(request, JSON.stringify({ cases }));
    const { success, stdout, stderr } = await new Deno.Command(python ?? "", {
      args: [SCRIPT, request, folder],
    }).output();
    assert(success, new TextDecoder().decode(stderr));
    const answers: Record<string, { error: number }> = JSON.parse(new TextDecoder().decode(stdout));
    let tied = 0;
    for (const options of cases) {
      if (!await agrees(folder, options, answers[options.name]!.error)) tied++;
    }
    // Each case rounds 16 to 49 thousand weights, so that one within 1e-9 of a tie is rare.
    assert(tied <= 2, `${tied} of ${cases.length} cases have ties`);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

interface LayerCase {
  readonly name: string;
  readonly weights: string;
  readonly gram: string;
  readonly rows: number;
  readonly columns: number;
}

function parametersOf(values: Partial<GptqParameters>): GptqParameters {
  return quantizerSchema.parse({ method: "gptq", ...values }) as GptqParameters;
}

/** Writes three kinds of layers of the model and the Gram matrices of their inputs. */
async function writeLayers(folder: string): Promise<LayerCase[]> {
  const found = await realLayers((path) =>
    /layers\.0.*(q_proj|down_proj)|layers\.1.*up_proj/.test(path)
  );
  assert.equal(found.length, 3);
  const layers: LayerCase[] = [];
  for (const { path: name, rows, columns, weights, gram } of found) {
    const layer = {
      name,
      weights: join(folder, `${name}.f4`),
      gram: join(folder, `${name}.f8`),
      rows,
      columns,
    };
    if (name.includes("q_proj")) clearInput(gram.values, columns, 77);
    await Deno.writeFile(layer.weights, bytesOf(weights));
    await Deno.writeFile(layer.gram, bytesOf(gram.values));
    layers.push(layer);
  }
  return layers;
}

/** Whether everything agrees; false if something differs after a tie. */
async function agrees(
  folder: string,
  options: LayerCase & GptqParameters,
  expectedError: number,
): Promise<boolean> {
  const { name, rows, columns, group_size, block_rows } = options;
  const bytes = async (path: string) => (await Deno.readFile(path)).buffer;
  const part = (what: string) => bytes(join(folder, `${name}.${what}`));
  const weights = new Float32Array(await bytes(options.weights));
  const gram = { rows: columns, columns, values: new Float64Array(await bytes(options.gram)) };
  const actual = roundLayer(weights, rows, columns, options, name, gram);
  const expected = {
    codes: new Uint8Array(await part("codes.u1")),
    scales: new Float32Array(await part("scales.f4")),
    zeros: new Float32Array(await part("zeros.f4")),
    margins: new Float64Array(await part("margins.f8")),
    order: new Uint32Array(await part("order.u4")),
  };
  if (actual.order !== null) assert.deepEqual(actual.order, expected.order, name);
  const places = new Uint32Array(columns);
  (actual.order ?? places.map((_, index) => index)).forEach((input, place) => {
    places[input] = place;
  });
  const code = (row: number, input: number) => actual.codes[row * columns + places[input]!]!;
  const firstDifference = (firstRow: number) => {
    for (const input of expected.order) {
      for (let row = firstRow; row < firstRow + block_rows; row++) {
        if (code(row, input) !== expected.codes[row * columns + input]) return { row, input };
      }
    }
    return null;
  };
  let tied = false;
  const groups = columns / group_size;
  for (let firstRow = 0; firstRow < rows; firstRow += block_rows) {
    const first = firstDifference(firstRow);
    if (first !== null) {
      const margin = expected.margins[first.row * columns + first.input]!;
      assert(
        margin < TIE,
        `${name}: row ${first.row}, input ${first.input} differs, ${margin} off a tie`,
      );
      tied = true;
      continue;
    }
    const start = firstRow / block_rows * groups;
    assert.deepEqual(
      actual.scales.subarray(start, start + groups),
      expected.scales.subarray(start, start + groups),
      name,
    );
    assert.deepEqual(
      actual.zeros.subarray(start, start + groups),
      expected.zeros.subarray(start, start + groups),
      name,
    );
  }
  if (!tied) {
    assert(Math.abs(actual.error / expectedError - 1) < 1e-6, `${name}: ${actual.error}`);
  }
  return !tied;
}

/** Makes an input dead. */
function clearInput(gram: Float64Array, columns: number, input: number): void {
  for (let other = 0; other < columns; other++) {
    gram[input * columns + other] = 0;
    gram[other * columns + input] = 0;
  }
}
