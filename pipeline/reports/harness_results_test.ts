// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { askPython } from "../../tests/support/ask_python.ts";
import { testUnless } from "../../tests/support/optional.ts";
import { findPython } from "../environment/oracles.ts";
import type { GroupRecord, Sample, TaskRecord } from "../evaluation/tasks/sample.ts";
import { writeEvaluation } from "../evaluation/tasks/sample_files.ts";
import type { Results } from "../graph/results.ts";
import { HARNESS_FOLDER, writeHarnessFolder } from "./harness_folder.ts";
import { fileTime, harnessResults, type HarnessRun, sanitizeModelName } from "./harness_results.ts";
import { sampleHashes, sampleLine, taskHash } from "./harness_samples.ts";

const python = await findPython([]);

function task(name: string, more: Partial<TaskRecord> = {}): TaskRecord {
  return {
    task: name,
    version: 2,
    config: {
      task: name,
      process_docs: { function: "sums/columns", place: "/home/me/sums.yaml:3" },
      process_results: null,
      doc_to_text: "Q: {{question}}\nA:",
    },
    num_fewshot: 5,
    higher_is_better: { acc: true },
    original: 10,
    effective: 2,
    metrics: { "acc,none": { value: 1, standardError: 0.25 } },
    ...more,
  };
}

const GROUPS: GroupRecord[] = [
  {
    group: "all",
    version: 1,
    subtasks: ["sciences", "letters"],
    effective: 4,
    metrics: { "acc,none": { value: 0.75, standardError: null } },
  },
  { group: "sciences", version: null, subtasks: ["one", "two"], effective: 4, metrics: {} },
];

const RUN: HarnessRun = {
  model: "balance:0/tuned",
  tasks: [
    task("two", { num_fewshot: 5, higher_is_better: { acc: true, loss: false } }),
    task("one", {
      alias: "the first",
      metrics: { "perplexity,none": { value: 12.5, standardError: null } },
      higher_is_better: { acc: false, loss: false },
    }),
    task("letters", { num_fewshot: 0, original: 2 }),
  ],
  groups: GROUPS,
  taskHashes: { two: "aa", one: "bb", letters: "cc" },
  started: new Date("2026-03-01T10:20:30.456Z"),
  seconds: 90,
  batchSize: 8,
  device: "cpu",
  version: "0.1.0",
  commit: "abc",
  environment: "Deno",
};

/** Keys of `EvalResults` that the harness always writes, but for those that only it can know. */
const KEYS = [
  ...["results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better"],
  ...["n-samples", "config", "git_hash", "date", "pretty_env_info", "model_source", "model_name"],
  ...["model_name_sanitized", "system_instruction", "system_instruction_sha"],
  ...["fewshot_as_multiturn", "chat_template", "chat_template_sha", "task_hashes"],
  ...["total_evaluation_time_seconds"],
];

Deno.test("results have the keys of the harness, and its values", () => {
  const text = harnessResults(RUN);
  const json = JSON.parse(text);
  for (const key of KEYS) assert.ok(key in json, key);
  assert.deepEqual(Object.keys(json.results), ["two", "one", "letters", "all", "sciences"]);
  assert.deepEqual(json.results.two, {
    name: "two",
    alias: "two",
    sample_len: 2,
    "acc,none": 1,
    "acc_stderr,none": 0.25,
  });
  assert.match(text, /"acc,none": 1\.0,\n {6}"acc_stderr,none": 0\.25\n/);
  assert.equal(json.results.one.alias, "the first");
  assert.equal(json.results.one["perplexity_stderr,none"], "N/A");
  assert.deepEqual(json.groups, {
    all: {
      alias: "all",
      name: "all",
      sample_len: 4,
      "acc,none": 0.75,
      "acc_stderr,none": "N/A",
      sample_count: { "acc,none": 4 },
    },
  });
  assert.deepEqual(json.results.sciences, { alias: "sciences", name: "sciences" });
  assert.deepEqual(json.group_subtasks.all, ["sciences", "letters"]);
  assert.deepEqual(Object.keys(json.configs), ["letters", "one", "two"]);
  assert.deepEqual(json.configs.one, {
    task: "one",
    process_docs: "sums/columns",
    doc_to_text: "Q: {{question}}\nA:",
  });
  assert.match(text, /"versions": \{\n {4}"all": 1\.0,/);
  assert.deepEqual(json["n-shot"], { letters: 0, one: 5, sciences: 5, two: 5 });
  assert.deepEqual(json.higher_is_better.sciences, { acc: null, loss: false });
  assert.deepEqual(json.higher_is_better.all, { acc: null, loss: false });
  assert.deepEqual(json["n-samples"].letters, { original: 2, effective: 2 });
  assert.equal(json.config.limit, 2);
  assert.equal(json.date, 1772360430.456);
  assert.equal(json.total_evaluation_time_seconds, "90.0");
  assert.equal(json.model_name_sanitized, "balance__0__tuned");
});

Deno.test("names of files are those of the harness", () => {
  assert.equal(sanitizeModelName('a"<b>:/c|\\d?*[e]'), "a__b__c__d__e__");
  // Its readers take what stands behind the last "_" for the time.
  assert.equal(fileTime(new Date("2026-03-01T10:20:30.456Z")), "2026-03-01T10-20-30.456000");
});

const CHOICE: Sample = {
  doc_id: 7,
  doc: { question: 'Größe?\n\t"2"', choices: ["a", "b"], answer: 1, passage: "😀 \u2028" },
  target: 1,
  arguments: [["Q: Größe?\nA:", " a"], ["Q: Größe?\nA:", " b"]],
  resps: [[[-2, false]], [[-0.5, true]]],
  filtered_resps: [[-2, false], [-0.5, true]],
  filter: "none",
  metrics: { acc: 1, acc_norm: 0 },
};

const TEXT: Sample = {
  doc_id: 0,
  doc: { question: "1 + 1", answer: "#### 2" },
  target: "#### 2",
  arguments: [["Q: 1 + 1", { until: ["Q:"], do_sample: false }]],
  resps: [["is 2.", "is 3."]],
  filtered_resps: ["2"],
  filter: "strict-match",
  metrics: { exact_match: 1 },
};

const ROLLING: Sample = {
  doc_id: 1,
  doc: { page: " = Title = \n" },
  target: " = Title = \n",
  arguments: [[" = Title = \n"]],
  resps: [[-Infinity]],
  filtered_resps: [-12],
  filter: "none",
  metrics: { word_perplexity: [-12, 4] },
};

Deno.test("items are written as the harness does", () => {
  const line = sampleLine(CHOICE, sampleHashes(CHOICE));
  assert.ok(
    line.startsWith(
      '{"doc_id": 7, "doc": {"question": "Größe?\\n\\t\\"2\\"", "choices": ["a", "b"], ' +
        '"answer": 1, "passage": "😀 \u2028"}, "target": "1", "arguments": {"gen_args_0": ' +
        '{"arg_0": "Q: Größe?\\nA:", "arg_1": " a"}, "gen_args_1": {"arg_0": "Q: Größe?\\nA:", ' +
        '"arg_1": " b"}}, "resps": [[["-2.0", "False"]], [["-0.5", "True"]]], "filtered_resps": ' +
        '[["-2.0", "False"], ["-0.5", "True"]], "filter": "none", "metrics": ["acc", "acc_norm"]' +
        ', "doc_hash": "',
    ),
    line,
  );
  assert.ok(line.endsWith('"acc": 1.0, "acc_norm": 0.0}'));
  const text = sampleLine(TEXT, sampleHashes(TEXT));
  assert.match(text, /"arg_1": \{"until": \["Q:"\], "do_sample": false\}/);
  assert.match(text, /"resps": \[\["is 2\.", "is 3\."\]\], "filtered_resps": \["2"\]/);
  const rolling = sampleLine(ROLLING, sampleHashes(ROLLING));
  assert.match(rolling, /"resps": \[\["-inf"\]\], "filtered_resps": \["-12\.0"\]/);
  assert.match(rolling, /"word_perplexity": \[-12\.0, 4\]\}$/);
});

/** Hashes as `evaluate` of the harness's `evaluator.py` defines them, by Python itself. */
const HASHES = `
import hashlib, json, sys
def digest(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
samples = json.load(sys.stdin)
hashes = [[digest(json.dumps(s["doc"], indent=2, ensure_ascii=False)),
           digest(s["arguments"][0][0]), digest(str(s["target"]))] for s in samples]
print(json.dumps([hashes, digest("".join("".join(parts) for parts in hashes))]))
`;

testUnless(
  python === null ? "there is no Python" : null,
  "hashes are those that Python computes",
  async () => {
    const listed: Sample = { ...TEXT, target: ["it's", "yes", 3, true, null] };
    const samples = [CHOICE, TEXT, { ...ROLLING, resps: [] }, listed];
    const [expected, whole] = JSON.parse(await askPython(python, HASHES, samples));
    const found = samples.map(sampleHashes);
    assert.deepEqual(found.map((hashes) => Object.values(hashes)), expected);
    assert.equal(taskHash(found), whole);
  },
);

Deno.test("the folder of a run gets the files of its evaluations, once for each result", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const artifact = join(folder, "artifact");
    await Deno.mkdir(artifact);
    await writeEvaluation(
      artifact,
      { tasks: [task("two")], groups: [] },
      new Map([["two", [CHOICE]]]),
    );
    const cell = {
      stages: { base: "k0", "quality.tuned": "k1" },
      nodes: { quality: { parameters: { batch_size: 4 } } },
    };
    const result = {
      created: "2026-03-01T10:22:00.456Z",
      seconds: 90,
      device: null,
      equipoise: { version: "0.1.0", commit: null },
    };
    const results = {
      name: "balance",
      cells: [{ ...cell, index: 0 }, { ...cell, index: 1 }],
      stages: {
        k0: { stage: "quantize", result },
        k1: { stage: "evaluate", result },
      },
      provenance: { deno: "2", os: "linux" },
    } as unknown as Results;
    const store = {
      artifact: (key: string) =>
        Promise.resolve({ kind: "metrics" as const, key, folder: artifact, node: "quality.tuned" }),
    };
    const root = join(folder, HARNESS_FOLDER, "balance__0__tuned");
    await Deno.mkdir(root, { recursive: true });
    const time = "2026-03-01T10-22-00.456000";
    await Deno.writeTextFile(join(root, "results_old.json"), "{}");
    // Left by an interruption: what is written last is missing.
    await Deno.writeTextFile(join(root, `samples_two_${time}.jsonl`), "{");
    await Deno.mkdir(join(folder, HARNESS_FOLDER, "other"));
    await writeHarnessFolder(folder, results, store);
    const path = join(root, `results_${time}.json`);
    const written = Deno.readTextFileSync(path);
    await Deno.writeTextFile(path, "there already");
    await writeHarnessFolder(folder, results, store);
    assert.equal(Deno.readTextFileSync(path), "there already");
    const names = [...Deno.readDirSync(root)].map(({ name }) => name).sort();
    assert.deepEqual(names, [`results_${time}.json`, `samples_two_${time}.jsonl`]);
    assert.deepEqual([...Deno.readDirSync(join(folder, HARNESS_FOLDER))].length, 1);
    const lines = Deno.readTextFileSync(join(root, names[1]!));
    assert.equal(lines, `${sampleLine(CHOICE, sampleHashes(CHOICE))}\n`);
    const json = JSON.parse(written);
    assert.deepEqual(json.task_hashes, { two: taskHash([sampleHashes(CHOICE)]) });
    assert.equal(json.date, 1772360430.456);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
