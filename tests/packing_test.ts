/**
 * Packing and grouping by length as an experiment sees them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { runExperiment } from "../pipeline/experiment.ts";
import { filesIn, resultsIn } from "./support/store.ts";
import { inFolder, QUANTIZE } from "./support/tiny_model.ts";

/** Rows of very different lengths, most of them short. */
const ROWS = Array.from({ length: 60 }, (_, row) => ({
  prompt: `${row % 7}:`,
  completion: ` ${"the cat sat. ".repeat(1 + row * row % 5)}`,
}));

/** With a learning rate of nothing the model stays what it is. */
const STILL = `
    from: adapter
    data: { jsonl: rows.jsonl }
    evaluation: { jsonl: rows.jsonl }
    steps: 2
    batch_size: 2
    length: 64
    evaluate_every: 2
    optimizer: { lr: 1e-30 }`;

const EXPERIMENT = `name: packing
seed: 3
graph:
  base: ${QUANTIZE}
  adapter: { stage: initialize, from: base, form: lora, rank: 2 }
  plain:
    stage: train${STILL}
  packed:
    stage: train${STILL}
    packing: true
  grouped:
    stage: train${STILL}
    group_by_length: true
  boosted:
    stage: train${STILL}
    group_by_length: true
    scheme: { method: xgblora, rounds: 2, layers: 1 }
`;

Deno.test("packed and grouped rows are reported, and change no loss of an evaluation", () =>
  inFolder(async (folder) => {
    const file = join(folder, "packing.yaml");
    await Deno.writeTextFile(file, EXPERIMENT);
    const rows = ROWS.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(join(folder, "rows.jsonl"), rows);
    const { cells: [cell] } = await runExperiment(file, { out: folder, device: "cpu" });
    assert.equal(cell?.status, "done", cell?.error ?? "no cell");

    const [files, results] = [await filesIn(folder), await resultsIn(folder)];
    const logs = join(folder, "packing", "logs");
    const logOf = (node: string) => {
      const entry = [...Deno.readDirSync(logs)].find(({ name }) => name.startsWith(`${node}-`));
      return Deno.readTextFileSync(join(logs, entry?.name ?? ""));
    };
    assert.match(logOf("packed"), /^60 examples in \d\d rows of 64 tokens, 9\d\.\d % filled$/m);
    assert.doesNotMatch(logOf("plain"), /filled/);

    const expected = Number(results.get("plain")?.metrics.evaluation_loss?.value);
    for (const node of ["packed", "grouped", "boosted"]) {
      const loss = Number(results.get(node)?.metrics.evaluation_loss?.value);
      assert.ok(Math.abs(loss - expected) < 1e-5, `${node}: ${loss}, not ${expected}`);
      assert.equal(files[node]?.["probe.json"], files.plain?.["probe.json"]);
    }
    const learned = (node: string) => Number(results.get(node)?.facts?.target_tokens);
    assert.ok(learned("packed") > 1.5 * learned("plain"), "a step learns from more examples");
  }));
