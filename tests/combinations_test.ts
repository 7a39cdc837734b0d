/**
 * Quantizers, forms and training options that do not meet in the shipped experiments, on the embedded
 * model: every combination trains, merges, and keeps its promise.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { runExperiment } from "../mod.ts";

const MODEL = new URL("../experiments/models/brown-525k", import.meta.url).pathname;

const EXPERIMENT = `
seed: 3
graph:
  base:    { stage: quantize, model: ${MODEL}, quantizer: { method: rtn } }
  adapter: { stage: initialize, from: base, form: lora, rank: 4, alpha: 4 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 6
    batch_size: 2
    length: 32
    optimizer: { lr: 0.005 }
    shuffle: false
  merged:  { stage: merge, from: tuned, dtype: f32 }
include:
  - { base.quantizer: { method: nf4 }, adapter.form: q-blora, adapter.lambda: 4 }
  - { base.quantizer: { method: nf4, double_quantization: false }, adapter.use_rslora: true }
  - { base.quantizer: { method: rtn, bits: 8, symmetric: true }, adapter.form: qa-lora, adapter.budget: lora }
  - { base.quantizer: { method: rtn, bits: 3, group_size: 4, block_rows: 8 }, adapter.form: qa-blora, adapter.repeat: 8 }
  - { base.quantizer: { method: rtn, bits: 2, group_size: 4, block_rows: 8 }, adapter.form: qa-hira, adapter.target_modules: [q_proj, down_proj] }
  - { base.quantizer: { method: rtn, bits: 2, group_size: 64 }, adapter.form: qa-lora, adapter.pooling: sum, tuned.optimizer.lr: 0.0005 }
  - { base.quantizer: { method: rtn, bits: 4 }, tuned.dropout: 0.1, tuned.accumulate: 2, tuned.activation_checkpointing: true }
  - { base.quantizer: { method: none }, adapter.form: full, tuned.optimizer.lr: 0.0002 }
`;

/** 86 tokens of the embedded model: two rows of 32 and a rest that training drops. */
const TEXT = "The committee of the town said that it was ready for the vote. ".repeat(4);

/** Forms whose merge moves only zero points. */
const EXACT = ["qa-lora", "qa-blora", "qa-hira"];

Deno.test("every quantizer, form and training option trains and merges", async () => {
  const out = await Deno.makeTempDir();
  try {
    const file = join(out, "combinations.yaml");
    await Deno.writeTextFile(join(out, "text.txt"), TEXT);
    await Deno.writeTextFile(file, EXPERIMENT);
    const { cells, stages } = await runExperiment(file, { out, device: "webgpu" });
    assert.equal(cells.length, 8);
    for (const { values, status, error, metrics, stages: keys } of cells) {
      const cell = JSON.stringify(values);
      assert.equal(status, "done", `${cell}: ${error}`);
      const losses = await Deno.readTextFile(join(folderOf(out, keys.tuned), "losses.jsonl"));
      const [first, ...rest] = losses.trim().split("\n").map((line) => JSON.parse(line).loss);
      assert.equal(rest.length, 5);
      // Every step sees the same two rows, so a gradient that reaches what trains lowers the loss.
      assert.ok(rest.at(-1) < first, `${cell}: ${[first, ...rest]}`);
      const form = String(values["adapter.form"] ?? "lora");
      if (form === "full") continue;
      const moved = metrics["merged.relative_logit_difference"]?.value ?? NaN;
      // Not exact forms are merged into f32 here, so only rounding of sums is left for them too.
      assert.ok(moved <= 1e-4, `${cell}: logits moved by ${moved}`);
      const into = stages[keys.merged ?? ""]?.result?.facts.merged_into;
      assert.equal(into, EXACT.includes(form) ? "zero points" : "f32 weights", cell);
    }
  } finally {
    await Deno.remove(out, { recursive: true });
  }
});

function folderOf(out: string, key = ""): string {
  return join(out, ".store", "results", key.slice(0, 2), key);
}
