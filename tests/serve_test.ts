// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * A finished run, its models behind HTTP and side by side: from the experiment file to what a client
 * of `deno task serve`, a reader of lm-evaluation-harness's files and `deno task compare` get.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { openDevice } from "../pipeline/executors/devices.ts";
import { runExperiment } from "../pipeline/experiment.ts";
import { BatchModel } from "../pipeline/models/batch_model.ts";
import { comparisonTable } from "../pipeline/reports/comparison.ts";
import { compareInRun } from "../pipeline/run_comparison.ts";
import { openTarget } from "../pipeline/served_target.ts";
import { loadFrozen } from "../pipeline/stages/trained_model.ts";
import { inFolder } from "./support/tiny_model.ts";

const TASK = `
task: rows
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: right
metric_list: [{ metric: acc }, { metric: acc_norm }]
metadata: { version: 3 }
`;

const EXPERIMENT = `
name: served
seed: 1
graph:
  base: { stage: quantize, model: tiny, quantizer: { method: rtn, bits: 2, group_size: 16 } }
  adapter: { stage: initialize, from: base, form: qa-lora, rank: 4, alpha: 4, init: gaussian }
  tuned:
    { stage: train, from: adapter, data: { text: text.txt }, steps: 3, batch_size: 2, length: 16,
      optimizer: { name: adamw, lr: 0.05 } }
  quality:
    stage: evaluate
    from: [base, tuned]
    tasks: [{ task: rows.yaml, data: { test: rows.jsonl } }]
`;

/** Questions about nothing, with two answers each. */
const ROWS = Array.from({ length: 12 }, (_, row) => ({
  question: `${row}: the`,
  choices: ["cat sat on mat", `dog ${row % 3}`],
  right: row % 2,
}));

async function withRun(test: (folder: string, out: string) => Promise<void>): Promise<void> {
  await inFolder(async (folder) => {
    await Deno.writeTextFile(join(folder, "rows.yaml"), TASK);
    await Deno.writeTextFile(
      join(folder, "rows.jsonl"),
      ROWS.map((row) => `${JSON.stringify(row)}\n`).join(""),
    );
    const file = join(folder, "served.yaml");
    await Deno.writeTextFile(file, EXPERIMENT);
    const out = join(folder, "runs");
    const { cells } = await runExperiment(file, { out, device: "cpu" });
    assert.equal(cells[0]?.error, null);
    await test(folder, out);
  });
}

/** Log-probabilities of a text's tokens but the first, in float64. */
async function referenceScores(target: string, out: string, ids: number[]): Promise<number[]> {
  const { trained } = await openTarget(target, out, null);
  using _ = trained;
  const device = await openDevice("reference");
  const batch = new BatchModel(await loadFrozen(device, trained), {
    batchSize: 1,
    length: ids.length,
  });
  device.write(batch.tokens, Uint32Array.from(ids));
  device.run(batch.forward);
  const scores: number[] = [];
  for await (const logits of batch.logits(1)) {
    const row = [...logits];
    const total = Math.log(row.reduce((sum, logit) => sum + Math.exp(logit), 0));
    const next = ids[scores.length + 1];
    if (next !== undefined) scores.push(row[next]! - total);
  }
  return scores;
}

/** Starts the command and asks one question; ends it by a signal, and returns how it ended. */
async function askServer(
  target: string,
  out: string,
  question: object,
): Promise<{ answer: Record<string, unknown>; code: number; stderr: string }> {
  const script = fileURLToPath(new URL("../scripts/serve.ts", import.meta.url));
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-prompt", "--allow-read", "--allow-write", "--allow-env"],
      ...["--allow-sys", "--allow-net=127.0.0.1", script, target, "--out", out],
      ...["--port", "0", "--device", "reference"],
    ],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let stderr = "";
  let answer: Record<string, unknown> = {};
  for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
    stderr += text;
    const url = /at (http:\S+);/.exec(text)?.[1];
    if (url === undefined) continue;
    const body = JSON.stringify(question);
    answer = await (await fetch(url, { method: "POST", body })).json();
    child.kill("SIGINT");
  }
  return { answer, code: (await child.status).code, stderr };
}

Deno.test("a run's models are served, compared, and written for lm-evaluation-harness", async () => {
  await withRun(async (_, out) => {
    const ids = [256, 80, 90, 100, 110, 70, 60];
    const question = { prompt: ids, max_tokens: 1, echo: true, logprobs: 1, temperature: 0 };
    const found: number[][] = [];
    for (const target of ["served:0/base", "served:tuned"]) {
      const { answer, code, stderr } = await askServer(target, out, question);
      assert.equal(code, 0, stderr);
      assert.match(stderr, /POST \/v1\/completions 200, 7 \+ 1 tokens/);
      assert.equal(answer.model, `served:0/${target.split(/[:/]/).at(-1)}`);
      const [{ logprobs }] = answer.choices as [{ logprobs: { token_logprobs: number[] } }];
      found.push(logprobs.token_logprobs.slice(1, -1));
      const expected = await referenceScores(target, out, ids);
      logprobs.token_logprobs.slice(1, -1).forEach((score, index) =>
        assert.ok(Math.abs(score - expected[index]!) < 1e-9, `${target} ${index}`)
      );
    }
    assert.notDeepEqual(found[0], found[1], "the adapter counts");

    const table = comparisonTable(await compareInRun("served", ["base", "0/tuned"], out));
    assert.deepEqual(table.rows.map(({ labels }) => labels), [["rows", "acc"], [
      "rows",
      "acc_norm",
    ]]);
    const harness = join(out, "served", "lm_eval");
    for (const [column, model] of ["base", "tuned"].entries()) {
      const folder = join(harness, `served__0__${model}`);
      const names = [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
      assert.equal(names.length, 2);
      const results = JSON.parse(Deno.readTextFileSync(join(folder, names[0]!)));
      assert.equal(results.results.rows["acc,none"], table.rows[0]!.entries[1 + column]!.mean);
      assert.deepEqual(results["n-samples"], { rows: { original: 12, effective: 12 } });
      const samples = Deno.readTextFileSync(join(folder, names[1]!)).trimEnd().split("\n")
        .map((line) => JSON.parse(line));
      assert.equal(samples.length, 12);
      const mean = samples.reduce((sum, { acc }) => sum + acc, 0) / 12;
      assert.ok(Math.abs(mean - results.results.rows["acc,none"]) < 1e-15);
      assert.equal(samples[3].arguments.gen_args_1.arg_0, "3: the");
    }

    const wrong: [string, RegExp][] = [
      ["served:1/tuned", /The run served has no cell 1; its only cell is 0/],
      ["served:tunned", /no model "tunned".*did you mean "tuned".*base, adapter, tuned/i],
      ["served:quality.tuned", /no model "quality.tuned"/],
      ["surved", /"surved" is neither a model folder .* nor a run/],
    ];
    for (const [target, message] of wrong) {
      await assert.rejects(openTarget(target, out, null), message);
    }
    await assert.rejects(
      compareInRun("served", ["base", "adapter"], out),
      /no evaluation of "adap/,
    );
  });
});
