import assert from "node:assert/strict";
import { UserError } from "../../errors.ts";
import type { EvaluationRecord, Sample } from "./sample.ts";
import { readEvaluation, readSamples, writeEvaluation } from "./sample_files.ts";

const record: EvaluationRecord = {
  tasks: [{
    task: "sums/small",
    version: 1,
    config: { task: "sums/small", doc_to_text: "{{question}}" },
    num_fewshot: 0,
    higher_is_better: { acc: true },
    original: 2,
    effective: 1,
    metrics: { "acc,none": { value: NaN, standardError: null } },
  }],
  groups: [],
};

const sample: Sample = {
  doc_id: 0,
  doc: { question: "1 + 1 =\n\u2028", choices: ["2", "3"] },
  target: 0,
  arguments: [["1 + 1 =", " 2"], ["1 + 1 =", " 3"]],
  resps: [[[-Infinity, true]], [[-2.25, false]]],
  filtered_resps: [[-Infinity, true], [-2.25, false]],
  filter: "none",
  metrics: { acc: 1, word_perplexity: [-2.5, 3] },
};

Deno.test("items come back as they were written, infinities among them", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await writeEvaluation(folder, record, new Map([["sums/small", [sample, sample]]]));
    assert.deepEqual(readEvaluation(folder), record);
    assert.deepEqual(readSamples(folder, "sums/small"), [sample, sample]);
    assert.throws(() => readSamples(folder, "other"), UserError);
    await Deno.writeTextFile(`${folder}/samples/broken.jsonl`, '{"doc_id": 0}\n{"doc_id"\n');
    assert.throws(() => readSamples(folder, "broken"), /broken\.jsonl:2: not JSON/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a folder without tasks has no record, and one of another version is refused", async () => {
  const folder = await Deno.makeTempDir();
  try {
    assert.equal(readEvaluation(folder), null);
    await Deno.writeTextFile(`${folder}/tasks.json`, '{"format": "equipoise/tasks", "version": 2}');
    assert.throws(() => readEvaluation(folder), /another version/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
