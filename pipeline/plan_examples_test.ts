import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { planExperiment } from "./experiment.ts";
import { planExamples } from "./plan_examples.ts";
import { examplesText } from "./reports/examples_text.ts";

const MODEL = fileURLToPath(new URL("../experiments/models/brown-525k", import.meta.url));

const ROWS = [
  { prompt: "Count:", completion: " one\ntwo é\u001b[31m" },
  { prompt: "", completion: "" },
  { prompt: "Greet:", completion: " hello" },
];

const experiment = (data: object) => ({
  name: "shown",
  graph: {
    base: {
      stage: "quantize",
      model: MODEL,
      quantizer: { method: "rtn", bits: 4, group_size: 32 },
    },
    adapter: { stage: "initialize", from: "base", form: "qa-blora", rank: 4, init: "zero" },
    tuned: { stage: "train", from: "adapter", data, steps: 1, batch_size: 1, length: 64 },
  },
  grid: { "adapter.rank": [4, 8] },
});

async function shown(data: object, count: number): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const rows = ROWS.map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(`${folder}/rows.jsonl`, rows);
    // YAML reads JSON.
    await Deno.writeTextFile(`${folder}/shown.yaml`, JSON.stringify(experiment(data)));
    const options = { device: "cpu", threads: 1, out: `${folder}/runs` } as const;
    const plan = await planExperiment(`${folder}/shown.yaml`, options);
    const sets = await planExamples(plan, { ...options, count });
    return examplesText(sets, { color: false }).replaceAll(`${folder}/`, "");
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("planExamples() shows what stages will learn, once for those that share it", async () => {
  const text = await shown({ rows: "rows.jsonl", on_bad_row: "skip" }, 2);
  const lines = text.split("\n").map((line) => line.trimEnd());
  assert.equal(lines[2], "tuned (rank 4), tuned (rank 8): data");
  assert.match(lines[4] ?? "", /^ {2}1\. rows\.jsonl:1 \(\d+ tokens, \d+ learned\)$/);
  assert.deepEqual(lines.slice(5, 7), [
    "     <|begin|>Count:⟦ one",
    "     two é\\x1b[31m<|end|>⟧",
  ]);
  assert.match(lines[8] ?? "", /^ {2}2\. rows\.jsonl:3 /);
  assert.equal(lines[9], "     <|begin|>Greet:⟦ hello<|end|>⟧");
  assert.match(lines[11] ?? "", /1 of 3 rows were skipped: the completion is empty.*rows\.jsonl:2/);
  assert.equal(lines.length, 13);
});

Deno.test("planExamples() says what is wrong where examples would be", async () => {
  const text = await shown({ rows: "rows.jsonl" }, 3);
  assert.match(text, /rows\.jsonl:2: the completion is empty.*on_bad_row: skip/);
  const chat = await shown({ rows: "rows.jsonl", template: "chat" }, 1);
  assert.match(chat, /brown-525k: the tokenizer has no chat template/);
});

Deno.test("examplesText() colors what is learned, line by line", () => {
  const pieces = [{ text: "a", learned: false }, { text: "b\n\nc", learned: true }];
  const example = { place: "x:1", tokens: 3, learned: 2, pieces };
  const set = { stages: ["s"], key: "data", examples: [example], remarks: [], problem: null };
  const green = (text: string) => `\u001b[32m${text}\u001b[39m`;
  assert.match(
    examplesText([set], { color: true }).replaceAll(/^ +/gm, ""),
    new RegExp(`a${green("b")}\n\n${green("c")}\n$`.replaceAll("[", "\\[")),
  );
});
