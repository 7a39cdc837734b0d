/**
 * The first promise on a real model after real training: QA-LoRA and QA-BLoRA merge exactly.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { openTensors } from "../pipeline/formats/hugging_face.ts";
import { runExperiment } from "../pipeline/experiment.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const EXPERIMENT = `
name: exact-merge
seed: 5
vars: { model: ${TEST_DATA}/models/tinystories-656k, corpus: ${TEST_DATA}/text/tinystories/stories.txt }
graph:
  base:    { stage: quantize, model: "\${model}", quantizer: { method: rtn, bits: 4, group_size: 32 } }
  adapter: { stage: initialize, from: base, form: qa-lora, rank: 8, alpha: 16 }
  tuned:
    stage: train
    from: adapter
    data: { text: "\${corpus}", documents: lines }
    steps: 4
    batch_size: 4
    length: 64
    optimizer: { name: adamw, lr: 5.0e-3 }
  merged:  { stage: merge, from: tuned }
grid:
  base.quantizer.bits: [4, 3, 2]
  base.quantizer.group_size: [32, 64]
  adapter.form: [qa-lora, qa-blora]
`;

testUnless(
  NO_TEST_DATA,
  "QA-LoRA and QA-BLoRA merge exactly at 4, 3 and 2 bits, groups 32 and 64",
  async () => {
    const out = await Deno.makeTempDir();
    try {
      const file = join(out, "exact-merge.yaml");
      await Deno.writeTextFile(file, EXPERIMENT);
      const results = await runExperiment(file, { out, device: "cpu" });
      assert.equal(results.cells.length, 12);
      for (const { values, status, error, metrics, stages } of results.cells) {
        const cell = JSON.stringify(values);
        assert.equal(status, "done", `${cell}: ${error}`);
        const difference = metrics["merged.relative_logit_difference"]?.value ?? NaN;
        assert.ok(difference <= 1e-4, `${cell}: logits differ by ${difference} of the largest`);
        const trained = metrics["tuned.loss"]?.value ?? NaN;
        assert.ok(trained < 8, `${cell}: loss ${trained}`);
        const folder = (node: string) => {
          const key = stages[node] ?? "";
          return join(out, ".store", "results", key.slice(0, 2), key);
        };
        using base = openTensors(folder("base"));
        using merged = openTensors(folder("merged"));
        assert.deepEqual(merged.names, base.names);
        let moved = 0;
        for (const name of base.names) {
          const same = equalBytes(base.readBytes(name), merged.readBytes(name));
          if (name.endsWith(".zeros")) moved += same ? 0 : 1;
          else assert.ok(same, `${cell}: ${name} changed`);
        }
        assert.equal(moved, 14, `${cell}: every layer's zeros moved`);
      }
    } finally {
      await Deno.remove(out, { recursive: true });
    }
  },
);

function equalBytes(left: Uint8Array, right: Uint8Array): boolean {
  return left.length === right.length && left.every((byte, index) => byte === right[index]);
}
