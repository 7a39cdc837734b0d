/**
 * A trained LoRA adapter is a PEFT folder, and a PEFT folder is a place to start from.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { runExperiment } from "../mod.ts";

const MODEL = new URL("../experiments/models/brown-525k", import.meta.url).pathname;

const TRAINED = `
graph:
  base: { stage: quantize, model: ${MODEL}, quantizer: { method: rtn } }
  adapter: { stage: initialize, from: base, form: lora, rank: 4, alpha: 10, use_rslora: true }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 6
    batch_size: 2
    length: 32
    optimizer: { lr: 0.005 }
  quality:
    stage: evaluate
    from: tuned
    tasks: [{ task: perplexity, data: { text: text.txt }, window: 64 }]
`;

/** Rank and alpha are left at their defaults: the folder's own configuration decides. */
const IMPORTED = `
graph:
  base: { stage: quantize, model: ${MODEL}, quantizer: { method: rtn } }
  tuned: { stage: initialize, from: base, form: lora, init: { peft: adapter } }
  quality:
    stage: evaluate
    from: [base, tuned]
    tasks: [{ task: perplexity, data: { text: text.txt }, window: 64 }]
`;

Deno.test("a trained LoRA adapter starts another experiment as a PEFT folder", async () => {
  const out = await Deno.makeTempDir();
  try {
    const text = "The committee of the town said that it was ready for the vote. ".repeat(4);
    await Deno.writeTextFile(join(out, "text.txt"), text);
    const run = async (name: string, yaml: string) => {
      await Deno.writeTextFile(join(out, name), yaml);
      const { cells: [cell] } = await runExperiment(join(out, name), { out });
      assert.equal(cell?.status, "done", cell?.error ?? "no cell");
      return cell;
    };
    const trained = await run("trained.yaml", TRAINED);
    const key = trained.stages.tuned ?? "";
    const artifact = join(out, ".store", "results", key.slice(0, 2), key);
    await Deno.mkdir(join(out, "adapter"));
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      await Deno.copyFile(join(artifact, file), join(out, "adapter", file));
    }
    const imported = await run("imported.yaml", IMPORTED);
    const measured = imported.metrics["quality.tuned.perplexity"]?.value;
    assert.equal(measured, trained.metrics["quality.tuned.perplexity"]?.value);
    assert.notEqual(measured, imported.metrics["quality.base.perplexity"]?.value);
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});
