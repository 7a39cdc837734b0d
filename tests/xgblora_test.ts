/**
 * The training scheme `xgblora` through whole experiments: boosters in rounds, on any base, merged,
 * evaluated and exported like any adapter.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { readAdapter } from "../pipeline/adapters/adapter.ts";
import { planExperiment, runExperiment } from "../pipeline/experiment.ts";
import { readPeftAdapter } from "../pipeline/formats/peft.ts";
import { measureMemory } from "./support/measured_memory.ts";
import { filesIn, resultsIn } from "./support/store.ts";
import { inFolder, writeTinyModel } from "./support/tiny_model.ts";

const EXPERIMENT = `name: boosting
seed: 3
graph:
  base: { stage: quantize, model: tiny, quantizer: { method: rtn, bits: 4, group_size: 16 } }
  adapter: { stage: initialize, from: base, form: lora, rank: 1, alpha: 4 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 6
    batch_size: 2
    length: 32
    accumulate: 2
    dropout: 0.1
    optimizer: { lr: 0.01 }
    scheme: { method: xgblora, rounds: 3, layers: 2, penalty: 1.0e-4 }
  merged: { stage: merge, from: tuned, dtype: f32 }
  quality:
    stage: evaluate
    from: [base, tuned, merged]
    tasks: [{ task: perplexity, data: { text: text.txt }, window: 32 }]
`;

/** Writes the experiment, and a model of four blocks, into the folder of {@linkcode inFolder}. */
async function writeExperiment(folder: string, text = EXPERIMENT): Promise<string> {
  await writeTinyModel(join(folder, "deep"), { config: { num_hidden_layers: 4 }, deviation: 0.1 });
  const file = join(folder, "boosting.yaml");
  await Deno.writeTextFile(file, text.replaceAll("tiny", "deep"));
  return file;
}

function folderOf(out: string, key = ""): string {
  return join(out, ".store", "results", key.slice(0, 2), key);
}

/** Bases and forms; a software WebGPU takes long to compile kernels, so that it gets the last two. */
const CELLS = [
  "{ base.quantizer: { method: none }, adapter.form: lora, adapter.rank: 2 }",
  "{ base.quantizer: { method: rtn, bits: 4, group_size: 16 }, adapter.form: qa-lora }",
  "{ base.quantizer: { method: rtn, bits: 4, group_size: 16 }, adapter.form: q-blora, tuned.scheme.step_size: 0.5 }",
  "{ base.quantizer: { method: rtn, bits: 3, group_size: 16, block_rows: 2 }, adapter.form: qa-blora }",
  "{ base.quantizer: { method: rtn, bits: 3, group_size: 16 }, adapter.form: lora }",
];

for (const [device, chosen] of [["cpu", CELLS], ["webgpu", CELLS.slice(3)]] as const) {
  Deno.test(`boosters train, merge and export for every form and base: ${device}`, () =>
    inFolder(async (folder) => {
      const include = chosen.map((cell) => `  - ${cell}\n`).join("");
      const file = await writeExperiment(folder, `${EXPERIMENT}include:\n${include}`);
      const out = join(folder, "out");
      const { cells } = await runExperiment(file, { out, device });
      assert.equal(cells.length, chosen.length);
      for (const { values, status, error, metrics, stages } of cells) {
        const cell = JSON.stringify(values);
        assert.equal(status, "done", `${cell}: ${error}`);
        const [before, tuned, merged] = ["base", "tuned", "merged"].map((node) =>
          metrics[`quality.${node}.perplexity`]?.value ?? NaN
        ) as [number, number, number];
        assert.ok(tuned < before, `${cell}: perplexity ${before} became ${tuned}`);
        assert.ok(Math.abs(merged - tuned) < 1e-4 * tuned, `${cell}: merged ${merged}`);
        const difference = metrics["merged.relative_logit_difference"]?.value ?? NaN;
        assert.ok(difference < 1e-4, `${cell}: logits differ by ${difference}`);
        const adapter = folderOf(out, stages.tuned);
        const { description, modules } = readAdapter(adapter);
        assert.equal(modules.size, 4 * 7);
        if (description.form !== "lora") continue;
        // PEFT computes the scale from its own settings.
        for (const [path, module] of readPeftAdapter(adapter).modules) {
          assert.equal(module.scale, 4 / (cell.includes('"adapter.rank":2') ? 2 : 1), cell);
          assert.equal(module.rank, modules.get(path)?.shape.rank);
        }
      }
    }));
}

Deno.test("one round over all blocks leaves the very files of plain training", () =>
  inFolder(async (folder) => {
    const file = await writeExperiment(folder);
    const trained = async (name: string, scheme: string) => {
      const out = join(folder, name);
      await runExperiment(file, { out, device: "cpu", set: [`tuned.scheme=${scheme}`] });
      return (await filesIn(out)).tuned;
    };
    const boosted = await trained("boosted", "{ method: xgblora, rounds: 1 }");
    await Deno.writeTextFile(
      file,
      (await Deno.readTextFile(file)).replace(/^ {4}scheme: .*\n/m, ""),
    );
    const out = join(folder, "plain");
    await runExperiment(file, { out, device: "cpu" });
    assert.deepEqual(boosted, (await filesIn(out)).tuned);
    assert.equal(Object.keys(boosted ?? {}).length > 3, true);
  }));

Deno.test("results say what was trained, and that the method is a reconstruction", () =>
  inFolder(async (folder) => {
    const file = await writeExperiment(folder);
    const out = join(folder, "out");
    await runExperiment(file, { out, device: "cpu" });
    const facts = (await resultsIn(out)).get("tuned")?.facts ?? {};
    // Rank 1 on the seven layers of two blocks: 32 wide, keys and values 16, intermediate 64.
    const block = 2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64);
    assert.equal(facts["trained_parameters"], 3 * 2 * block);
    assert.equal(facts["scheme"], "xgblora (a reconstruction)");
    assert.equal(facts["rounds"], 3);
    assert.equal(facts["blocks_per_round"], 2);
  }));

Deno.test("the plan knows the memory of boosting", () =>
  inFolder(async (folder) => {
    const text = EXPERIMENT.replace("rounds: 3", "rounds: 6").replace("rank: 1", "rank: 4");
    const file = await writeExperiment(folder, text);
    const stages = await measureMemory(file, join(folder, "out"), "cpu");
    for (const { id, device } of stages) {
      if (!["tuned", "merged", "quality.tuned"].includes(id)) continue;
      const { planned = NaN, measured = NaN } = device ?? {};
      // An evaluation is planned for a long text.
      const above = 0.1 * measured + (id === "quality.tuned" ? 2 ** 18 : 0);
      assert.ok(
        planned >= 0.9 * measured && planned <= measured + above,
        `${id}: ${planned} bytes were planned, ${measured} measured`,
      );
    }
  }));

/** Changes to the experiment, and the message of its plan. */
const MISTAKES: readonly (readonly [what: string, set: string[], message: RegExp])[] = [
  [
    "rounds that do not divide the steps",
    ["tuned.steps=7"],
    /tuned\.scheme\.rounds: 3 rounds do not divide 7 steps, but all rounds have equally many; make/,
  ],
  [
    "no rounds",
    ["tuned.scheme={ method: xgblora }"],
    /Missing key "rounds" in tuned\.scheme: it must be a number/,
  ],
  [
    "an adapter that does not start at zero",
    ["adapter.init={ peft: tiny }"],
    /tuned\.scheme: A booster .* B = 0, but this adapter is read from a folder; use init: zero/,
  ],
  [
    "another initializer",
    ["adapter.init=gaussian"],
    /tuned\.scheme: A booster .* B = 0, but init is gaussian; use init: zero/,
  ],
  [
    "a form without a pair",
    ["adapter.form=qa-hira"],
    /tuned\.scheme: .* the form qa-hira is a single matrix; use a form of pairs, such as qa-blora/,
  ],
  [
    "all weights",
    ["adapter.form=full", "base.quantizer={ method: none }"],
    /tuned\.scheme: .* the form full has no adapter; use a form of pairs, such as lora/,
  ],
];

for (const [what, set, message] of MISTAKES) {
  Deno.test(`refused before anything runs: ${what}`, () =>
    inFolder(async (folder) => {
      const file = await writeExperiment(folder);
      await assert.rejects(
        planExperiment(file, { out: join(folder, "out"), device: "cpu", set }),
        (error) => error instanceof Error && message.test(error.message),
      );
    }));
}

Deno.test("more blocks than the model has fail the stage with one sentence", () =>
  inFolder(async (folder) => {
    const file = await writeExperiment(folder);
    const set = ["tuned.scheme.layers=5"];
    const { cells: [cell] } = await runExperiment(file, {
      out: join(folder, "out"),
      device: "cpu",
      set,
    });
    assert.equal(cell?.status, "failed");
    assert.match(cell.error ?? "", /scheme\.layers is 5, but the model has 4 blocks to draw from/);
  }));
