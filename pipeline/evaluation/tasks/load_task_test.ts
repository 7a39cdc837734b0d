import assert from "node:assert/strict";
import { UserError } from "../../errors.ts";
import { bundledTask } from "./bundled/bundled_tasks.ts";
import { loadTaskFile } from "./load_task.ts";
import { groups, leaves, type TaskNode } from "./task_node.ts";

const TASK = `task: colours
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{question}}"
doc_to_choice: [red, blue]
doc_to_target: label
`;

async function inFolder(
  files: Readonly<Record<string, string>>,
  use: (folder: string) => void,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.mkdir(`${folder}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

function load(path: string): TaskNode {
  return loadTaskFile(path, bundledTask);
}

Deno.test("a task has the harness's defaults", () =>
  inFolder({ "a.yaml": TASK }, (folder) => {
    const node = load(`${folder}/a.yaml`);
    assert.ok(node.kind === "task");
    const { target_delimiter, fewshot_delimiter, description, repeats } = node.config;
    assert.deepEqual([target_delimiter, fewshot_delimiter, description, repeats], [
      ...[" ", "\n\n", "", 1],
    ]);
    assert.deepEqual(node.files, [`${folder}/a.yaml`]);
  }));

Deno.test("mistakes are named with file and line, and a suggestion", async () => {
  const mistakes: readonly (readonly [string, RegExp])[] = [
    [`${TASK}doc_to_txt: a\n`, /a\.yaml:7: Unknown key "doc_to_txt"; did you mean "doc_to_text"/],
    [`${TASK}num_fewshot: five\n`, /a\.yaml:7: num_fewshot must be .*found "five"/],
    [`${TASK}metric_list:\n  - metric: ac\n`, /a\.yaml:8: there is no metric "ac" .*mean "acc"/],
    [
      `${TASK}metric_list:\n  - metric: acc\n    aggregation: meen\n`,
      /a\.yaml:8: there is no aggregation "meen"; did you mean "mean"/,
    ],
    [`${TASK}process_docs: !function utils.go\n`, /a\.yaml:7: !function utils\.go is Python/],
    [
      `${TASK}metric_list:\n  - metric: !function m.f\n`,
      /a\.yaml:8: !function m\.f is Python, .* has a name/,
    ],
    [`${TASK}x: !!python/object a\n`, /a\.yaml:7: the tag .* is not allowed/],
    [`${TASK}x: !run a\n`, /a\.yaml:7: the tag !run is not allowed; only !function is/],
    [`${TASK}doc_to_image: a\n`, /a\.yaml:7: the key "doc_to_image" is not supported: only texts/],
    [`${TASK}class: X\n`, /a\.yaml:7: the key "class" is not supported/],
    [
      TASK.replace("{{question}}", "{{question"),
      /a\.yaml:4: doc_to_text is not a Jinja template/,
    ],
    [TASK.replace(/doc_to_choice.*\n/, ""), /a\.yaml:2: .* multiple_choice needs doc_to_choice/],
    [TASK.replace(/doc_to_text.*\n/, ""), /a\.yaml:1: the task colours has no doc_to_text/],
    [`${TASK}include: b.yaml\n`, /a\.yaml:7: there is no file "b\.yaml"/],
    [`${TASK}include: a.yaml\n`, /a\.yaml includes itself/],
    [`${TASK}a: [1\n`, /a\.yaml:\d+: this is not valid YAML/],
    ["- a\n", /a task file must be a map/],
    [`${TASK}unsafe_code: true\n`, /a\.yaml:7: unsafe_code must be false/],
  ];
  for (const [text, message] of mistakes) {
    await inFolder(
      { "a.yaml": text },
      (folder) =>
        assert.throws(() => load(`${folder}/a.yaml`), (error: Error) => {
          assert.ok(error instanceof UserError, error.stack);
          assert.match(error.message, message);
          return true;
        }),
    );
  }
});

Deno.test("a mistake in an included file is named there; own keys win", () =>
  inFolder({
    "a.yaml": "include: sub/base\ntask: child\nnum_fewshot: 2\ntask_list: []\n",
    "sub/base": `${TASK}num_fewshot: 7\n`,
    "b.yaml": "include: broken\ntask: child\n",
    "broken": `${TASK}repeats: 0\n`,
  }, (folder) => {
    const node = load(`${folder}/a.yaml`);
    assert.ok(node.kind === "task");
    assert.deepEqual([node.name, node.config.num_fewshot], ["child", 2]);
    assert.deepEqual(node.files, [`${folder}/a.yaml`, `${folder}/sub/base`]);
    assert.throws(() => load(`${folder}/b.yaml`), /broken:7: repeats must be/);
  }));

Deno.test("YAML is that of PyYAML: yes and no are booleans, y and n are not", () =>
  inFolder({
    "a.yaml": `${TASK}metadata: {a: yes, b: n, c: off, version: 1.0}\nnum_fewshot: 1\n` +
      "num_fewshot: 3\n",
  }, (folder) => {
    const node = load(`${folder}/a.yaml`);
    assert.ok(node.kind === "task");
    assert.deepEqual(node.config.metadata, { a: true, b: "n", c: false, version: 1 });
    assert.equal(node.config.num_fewshot, 3);
  }));

Deno.test("groups: tasks by name, tag and folder, with overrides, nested", () =>
  inFolder({
    "all.yaml": `group: all
task:
  - warm
  - { task: cold, num_fewshot: 4 }
  - group: inner
    task: [dark]
    aggregate_metric_list: { metric: acc }
  - openbookqa
aggregate_metric_list:
  - { metric: acc, weight_by_size: false }
metadata: { version: 3 }
num_fewshot: 1
`.replace("  - openbookqa\n", ""),
    "other.yaml": "group: other\ntask: [openbookqa, warm]\n",
    "wrong.yaml": "group: wrong\ntask:\n  - warm\n  - wrm\n",
    "self.yaml": "group: self\ntask: [self]\n",
    "base": TASK,
    "tasks/b.yaml": "include: ../base\ntask: red\ntag: warm\ndataset_name: r\n",
    "tasks/a.yaml": "include: ../base\ntask: amber\ntag: [warm]\ndataset_name: a\n",
    "cold.yaml": "include: base\ntask: cold\n",
    "dark.yaml": "include: base\ntask: dark\n",
  }, (folder) => {
    const node = load(`${folder}/all.yaml`);
    assert.ok(node.kind === "group");
    assert.deepEqual(
      leaves(node).map(({ name, config, subset }) => [name, config.num_fewshot, subset]),
      [["amber", 1, "a"], ["red", 1, "r"], ["cold", 4, null], ["dark", 1, null]],
    );
    assert.deepEqual(groups(node).map(({ name, version }) => [name, version]), [
      ["all", 3],
      ["inner", null],
    ]);
    assert.deepEqual(node.aggregates.map((entry) => entry.weight_by_size), [false]);
    assert.deepEqual(
      leaves(load(`${folder}/other.yaml`)).map(({ name }) => name),
      ["openbookqa", "amber", "red"],
    );
    assert.throws(
      () => load(`${folder}/wrong.yaml`),
      /wrong\.yaml:4: there is no task, group or tag "wrm" .*; did you mean "warm"/,
    );
    assert.throws(() => load(`${folder}/self.yaml`), /the group self contains itself/);
  }));
