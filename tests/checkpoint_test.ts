/**
 * An experiment whose base is a checkpoint of another program, from the YAML file to the results.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { findPython } from "../pipeline/environment/oracles.ts";
import { runExperiment } from "../pipeline/experiment.ts";
import { testUnless } from "./support/optional.ts";
import { TINY_TEXT, writeTinyModel } from "./support/tiny_model.ts";

const SCRIPT = new URL("oracles/checkpoints.py", import.meta.url);

const EXPERIMENT = `
name: checkpoint
seed: 1
graph:
  base:    { stage: quantize, model: checkpoint, quantizer: { method: checkpoint } }
  dense:   { stage: quantize, model: dense, quantizer: { method: none } }
  adapter: { stage: initialize, from: base, form: qa-blora, rank: 4, alpha: 8 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 8
    batch_size: 4
    length: 32
    optimizer: { name: adamw, lr: 1.0e-2 }
  merged:  { stage: merge, from: tuned }
  quality:
    stage: evaluate
    from: [dense, base, tuned, merged]
    tasks:
      - { task: perplexity, protocol: gptq, window: 32, data: { rows: text.txt } }
`;

const python = await findPython(["numpy"]);

testUnless(
  python === null ? "no Python with NumPy" : null,
  "an asymmetric GPTQ checkpoint of 3 bits: planned, trained, merged exactly, evaluated",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
    try {
      const source = join(folder, "source");
      const config = { hidden_size: 64, intermediate_size: 96 };
      await writeTinyModel(source, { config, deviation: 0.2 });
      await Deno.writeTextFile(join(folder, "text.txt"), TINY_TEXT);
      const request = {
        source,
        method: "gptq",
        bits: 3,
        group_size: 32,
        sym: false,
        desc_act: false,
        checkpoint_format: "gptq",
        seed: 3,
      };
      await Deno.writeTextFile(join(folder, "request.json"), JSON.stringify(request));
      const made = await new Deno.Command(python ?? "", {
        args: [SCRIPT.pathname, join(folder, "request.json"), folder],
      }).output();
      assert(made.success, new TextDecoder().decode(made.stderr));
      const file = join(folder, "checkpoint.yaml");
      await Deno.writeTextFile(file, EXPERIMENT);
      const { cells } = await runExperiment(file, { out: join(folder, "runs"), device: "cpu" });
      const [cell] = cells;
      assert.equal(cell?.status, "done", cell?.error ?? "");
      const value = (metric: string) => cell?.metrics[metric]?.value ?? NaN;
      const close = (one: string, other: string, tolerance: number) =>
        assert(
          Math.abs(value(one) / value(other) - 1) < tolerance,
          `${one} ${value(one)}, ${other} ${value(other)}`,
        );
      close("quality.base.perplexity", "quality.dense.perplexity", 1e-5);
      close("quality.merged.perplexity", "quality.tuned.perplexity", 1e-4);
      assert(value("quality.tuned.perplexity") < value("quality.base.perplexity"));
      assert.equal(cell?.metrics["quality.base.perplexity"]?.protocol, "gptq-32");
      // 3 bits, and a scale and a zero point of f32 for 32 of them.
      assert.equal(value("base.bits_per_weight"), 3 + 64 / 32);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);
