/**
 * Activation checkpointing changes memory and time, and no bit of a result, so that it is no part of
 * a result's key.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { planExperiment, runExperiment } from "../pipeline/experiment.ts";
import { filesIn } from "./support/store.ts";
import { inFolder, QUANTIZE, writeTinyModel } from "./support/tiny_model.ts";

const EXPERIMENT = `name: checkpointing
seed: 3
graph:
  base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, rank: 4 }
  tuned:
    stage: train
    from: adapter
    data: { text: text.txt }
    steps: 4
    batch_size: 2
    length: 32
    dropout: 0.25
    optimizer: { lr: 0.01 }
`;

/** What training with and without checkpointing leaves, and its key. */
async function trained(
  folder: string,
  device: "cpu" | "webgpu" | "reference",
  checkpointing: boolean,
) {
  const out = join(folder, `${device}-${checkpointing}`);
  const file = join(folder, "checkpointing.yaml");
  await Deno.writeTextFile(file, EXPERIMENT);
  // The last block is never computed again, so there have to be others.
  await writeTinyModel(join(folder, "tiny"), { config: { num_hidden_layers: 3 } });
  const set = [`tuned.activation_checkpointing=${checkpointing}`];
  const { cells: [cell] } = await runExperiment(file, { out, set, device });
  assert.equal(cell?.status, "done", cell?.error ?? "no cell");
  return { key: cell.stages.tuned, files: (await filesIn(out)).tuned };
}

for (const device of ["cpu", "webgpu", "reference"] as const) {
  Deno.test(`training with activation checkpointing leaves the same bits: ${device}`, () =>
    inFolder(async (folder) => {
      const kept = await trained(folder, device, false);
      const recomputed = await trained(folder, device, true);
      assert.deepEqual(recomputed, kept);
    }));
}

Deno.test("a plan finds what was trained with the other setting", () =>
  inFolder(async (folder) => {
    await trained(folder, "reference", false);
    const plan = await planExperiment(join(folder, "checkpointing.yaml"), {
      out: join(folder, "reference-false"),
      set: ["tuned.activation_checkpointing=true"],
      device: "reference",
    });
    assert.equal(plan.stages.find(({ id }) => id === "tuned")?.decision.action, "cached");
  }));
