/**
 * On a real model and real text, more bits are better for every family of quantizers, and calibration
 * never hurts. Orders of perplexities are facts of one model, not theorems; orders of calibrated
 * errors that theory knows are tested beside the methods and in `oracles/`.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { type CellResult, runExperiment } from "../mod.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const EXPERIMENTS = new URL("../experiments/", import.meta.url).pathname;

const MODEL = join(TEST_DATA, "models/tinystories-656k");

/** Stories to calibrate on, and stories to measure on, by line. */
const [SEEN, HELD_OUT] = [[0, 1500], [9000, 9600]] as const;

/** Runs an experiment that ships, on tinystories-656k; `text` is the folder of its texts. */
async function run(name: string, changes: readonly string[]): Promise<CellResult[]> {
  const out = await Deno.makeTempDir();
  try {
    const stories = await Deno.readTextFile(join(TEST_DATA, "text/tinystories/stories.txt"));
    const lines = stories.split("\n");
    const write = (file: string, [from, to]: readonly [number, number]) =>
      Deno.writeTextFile(join(out, file), lines.slice(from, to).join("\n"));
    await write("seen.txt", SEEN);
    await write("held_out.txt", HELD_OUT);
    const file = join(out, "experiment.yaml");
    await Deno.writeTextFile(
      file,
      `
extends: ${join(EXPERIMENTS, name)}
name: order
vars: { model: ${MODEL}, calibration_text: seen.txt, train_text: seen.txt, held_out: held_out.txt }
graph:
  base: { calibration: { data: { format: plain, eos: false } } }
  quality:
    tasks: [{ task: perplexity, data: { text: "\${held_out}" }, window: 256 }]
`,
    );
    const { cells } = await runExperiment(file, { set: [...changes], out, device: "cpu" });
    for (const { values, status, error } of cells) {
      assert.equal(status, "done", `${JSON.stringify(values)}: ${error}`);
    }
    return [...cells];
  } finally {
    await Deno.remove(out, { recursive: true });
  }
}

/** `metric` of the cell with these quantizers. */
function reader(cells: readonly CellResult[]) {
  return (metric: string, wanted: Record<string, unknown>, preprocess = "none"): number => {
    const cell = cells.find(({ values }) => {
      const quantizer = values["base.quantizer"] as Record<string, unknown>;
      return values["base.preprocess.method"] === preprocess &&
        Object.entries(wanted).every(([key, value]) => quantizer[key] === value);
    });
    assert.ok(cell, `no cell of ${preprocess} ${JSON.stringify(wanted)}`);
    const value = cell.metrics[metric]?.value;
    assert.ok(typeof value === "number" && Number.isFinite(value), `${metric} is ${value}`);
    return value;
  };
}

testUnless(NO_TEST_DATA, "quality falls with the bits, and calibration does not harm", async () => {
  const cells = await run("quantizers.yaml", []);
  const read = reader(cells);
  const perplexity = (quantizer: Record<string, unknown>, preprocess?: string) =>
    read("quality.base.perplexity", quantizer, preprocess);
  const error = (quantizer: Record<string, unknown>, preprocess?: string) =>
    read("base.calibrated_error", quantizer, preprocess);
  const full = read("quality.full.perplexity", { method: "nf4" });

  for (const method of ["rtn", "gptq", "slim-llm"]) {
    const bits = [4, 3, 2].map((bits) => ({ method, bits }));
    assertAscending([full, ...bits.map((quantizer) => perplexity(quantizer))], method);
    assertAscending([0, ...bits.map((quantizer) => error(quantizer))], method);
  }
  for (const bits of [4, 3, 2]) {
    assertAscending([perplexity({ method: "gptq", bits }), perplexity({ method: "rtn", bits })]);
    assertAscending([error({ method: "gptq", bits }), error({ method: "rtn", bits })]);
  }
  // 2 bits with a grid from the smallest to the largest weight waste it: 1.08 bits beat that, and
  // are beaten by grids that are fitted.
  const binary = { method: "billm" };
  assertAscending([perplexity({ method: "slim-llm", bits: 2 }), perplexity(binary)]);
  assertAscending([perplexity({ method: "gptq", mse: true }), perplexity(binary)]);
  assertAscending([perplexity(binary), perplexity({ method: "rtn", bits: 2 })]);
  // MagR's error may be larger by what it takes from weights, not in outputs.
  const int2 = { method: "gptq", bits: 2 };
  assert.ok(error(int2, "magr") <= error(int2) * 1.001);
});

function assertAscending(values: readonly number[], name = ""): void {
  values.slice(1).forEach((value, index) =>
    assert.ok((values[index] as number) < value, `${name}: ${values.join(", ")}`)
  );
}
