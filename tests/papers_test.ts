/**
 * The experiments at 7B: the files are sound, and the same graphs run on the small model.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type CellResult, readExperiment, runExperiment } from "../mod.ts";

/** Cells of the papers' grids, and what cuts those of the small model to a few. */
const EXPERIMENTS: Readonly<Record<string, { cells: number; set: readonly string[] }>> = {
  "mmlu-7b": {
    cells: 8,
    set: [
      "include=[{base.quantizer: {method: nf4}, adapter.form: q-blora}, " +
      "{base.quantizer: {method: gptq, bits: 2, group_size: 32}, adapter.form: qa-blora}]",
    ],
  },
  "gsm8k-7b": {
    cells: 18,
    set: ["grid.base.quantizer.bits=[2]", "grid.adapter.init=[zero, cloq]"],
  },
  "wikitext-7b": {
    cells: 16,
    set: [
      "grid.base.quantizer=[{method: gptq, bits: 2, group_size: 32}]",
      "grid.adapter.init=[{method: cloq, iterations: 2}]",
    ],
  },
  "commonsense-7b": {
    cells: 8,
    set: ["grid.base.quantizer.bits=[2]", "grid.adapter.form=[qa-lora]"],
  },
};

/** Forms whose merge moves only zero points. */
const EXACT = ["qa-lora", "qa-blora"];

function fileOf(name: string): string {
  return new URL(`../experiments/${name}.yaml`, import.meta.url).pathname;
}

for (const [name, { cells: count, set }] of Object.entries(EXPERIMENTS)) {
  Deno.test(`${name}.yaml declares the papers' grid on LLaMA-2-7B`, async () => {
    const { cells } = await readExperiment(fileOf(name));
    assert.equal(cells.length, count);
    for (const { nodes } of cells) {
      const base = nodes.find((node) => node.name === "base")?.parameters as { model: string };
      assert.equal(base.model, "hf:meta-llama/Llama-2-7b-hf");
    }
  });

  Deno.test(`${name}.yaml runs with scale=tiny`, async () => {
    const out = await Deno.makeTempDir();
    try {
      const { cells } = await runExperiment(fileOf(name), {
        set: ["scale=tiny", ...set],
        out,
        device: "cpu",
      });
      assert.ok(cells.length > 0);
      cells.forEach(checkCell);
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  });
}

function checkCell({ values, status, error, metrics }: CellResult): void {
  const cell = JSON.stringify(values);
  assert.equal(status, "done", `${cell}: ${error}`);
  for (const [metric, { value }] of Object.entries(metrics)) {
    assert.ok(Number.isFinite(value), `${cell}: ${metric} is ${value}`);
    const merged = metric.replace("quality.tuned.", "quality.merged.");
    if (merged === metric || !EXACT.includes(String(values["adapter.form"]))) continue;
    assert.equal(metrics[merged]?.value, value, `${cell}: ${merged}`);
  }
}
