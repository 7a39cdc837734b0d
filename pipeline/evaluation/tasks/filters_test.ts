import assert from "node:assert/strict";
import { bundledTask } from "./bundled/bundled_tasks.ts";
import { buildFilters } from "./filters.ts";
import { exactMatch, metricsOf, normalizer } from "./item_metrics.ts";
import type { Task } from "./task_node.ts";

function task(name: string): Task {
  const node = bundledTask(name);
  assert.ok(node?.kind === "task");
  return node;
}

/** What filters leave of a text, without what the metric ignores. */
function extract(name: string, text: string): string[] {
  const [metric] = metricsOf(task(name));
  assert.ok(metric !== undefined);
  const normalize = normalizer(metric);
  return buildFilters(task(name)).map((filter) => normalize(String(filter.apply([text]))));
}

Deno.test("answers of GSM8K: strict and flexible", () => {
  for (
    const [text, strict, flexible] of [
      ["16 - 3 - 4 = <<16-3-4=9>>9; $18 every day.\n#### 18", "18", "18"],
      ["total is $1,234.50.", "[invalid]", "1234.50"],
      ["#### -7,000.", "-7000", "-7000"],
      ["It costs 10 dollars ...", "[invalid]", ".."],
      ["18.\n\n#### 18. #### 19", "18", "19"],
      ["", "[invalid]", "[invalid]"],
    ] as const
  ) assert.deepEqual(extract("gsm8k", text), [strict, flexible], text);
});

Deno.test("answers after chain of thought: the last letter of the pattern is any letter", () => {
  for (
    const [text, strict] of [
      ["The answer is 15.", "15"],
      ["The answer is 15", "1"],
      ["The answer is 5", "[invalid]"],
      ["The answer is $15.", "[invalid]"],
    ] as const
  ) assert.equal(extract("gsm8k_cot", text)[0], strict, text);
});

Deno.test("18.0 is not 18 for exact_match", () => {
  const [metric] = metricsOf(task("gsm8k"));
  assert.ok(metric !== undefined);
  assert.equal(exactMatch(["... \n#### 18"], "18", metric), 1);
  assert.equal(exactMatch(["... \n#### 18"], "18.0", metric), 0);
  assert.equal(exactMatch(["... \n#### 1,080"], "$1080.", metric), 1);
});

Deno.test("exact_match ignores what it is told to, on both sides", () => {
  const same = (left: string, right: string, settings: object) =>
    exactMatch([left], right, { metric: "exact_match", ...settings }) === 1;
  assert.ok(!same("Yes", "yes", {}));
  assert.ok(same("Yes", "yES", { ignore_case: true }));
  assert.ok(same("a-b!", "a b".replace(" ", ""), { ignore_punctuation: true }));
  assert.ok(!same("a b", "ab", { ignore_punctuation: true }));
  assert.ok(same("a1", "2a", { ignore_numbers: true }));
  assert.ok(same("X y", "y", { regexes_to_ignore: ["^x", "(?i)x", " "] }));
});

Deno.test("Commonsense170K: the answer after its trigger, or the first one anywhere", () => {
  const [pyreft] = buildFilters(task("commonsense_arc_easy"));
  assert.equal(pyreft?.apply(["the correct answer is answer3\n"]), "answer3");
  assert.equal(pyreft?.apply(["the correct answer is answer3 or answer1"]), "answer3 or answer1");
  assert.equal(pyreft?.apply(["answer3"]), "");
  const [adapters] = buildFilters(task("commonsense_llm_adapters_arc_easy"));
  assert.equal(adapters?.apply(["the correct answer is answer3 or answer1"]), "answer3");
  assert.equal(adapters?.apply(["neither"]), "");
});

Deno.test("filters that are none, or are set wrongly, are refused by file and line", () => {
  const { config } = task("gsm8k");
  const build = (filter: Record<string, unknown> & { function: string }) => () =>
    buildFilters({
      ...task("gsm8k"),
      place: () => "t.yaml:9",
      config: { ...config, filter_list: [{ name: "x", filter: [filter] }] },
    });
  assert.throws(build({ function: "regexp" }), /t\.yaml:9: .*"regexp"; did you mean "regex"/);
  assert.throws(build({ function: "regex", pattern: "a" }), /the filter regex has no "pattern"/);
  assert.throws(build({ function: "regex", regex_pattern: "(" }), /^UserError: t\.yaml:9: /);
  assert.throws(build({ function: "take_first_k", k: 2 }), /repeats is 1/);
  assert.throws(build({ function: "take_first_k" }), /needs "k"/);
});
