import assert from "node:assert/strict";
import { dataSources } from "./data_sources.ts";
import { TRAINING_DATA } from "./load_dataset.ts";

Deno.test("dataSources() names every file that data depends on, and its place", () => {
  const sources = (data: object) =>
    dataSources(TRAINING_DATA.parse(data), "evaluation")
      .map(({ reference, path }) => `${path} ${reference}`);
  assert.deepEqual(sources({ text: "a.txt" }), ["evaluation.text a.txt"]);
  assert.deepEqual(sources({ jsonl: ["a", "b"] }), [
    "evaluation.jsonl.0 a",
    "evaluation.jsonl.1 b",
  ]);
  assert.deepEqual(sources({ rows: "a", template: "chat" }), ["evaluation.rows a"]);
  assert.deepEqual(sources({ rows: ["a"], template: { file: "chat.jinja" } }), [
    "evaluation.rows.0 a",
    "evaluation.template.file chat.jinja",
  ]);
});
