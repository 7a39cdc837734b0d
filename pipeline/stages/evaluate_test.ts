import assert from "node:assert/strict";
import { inFolder } from "../../tests/support/tiny_model.ts";
import { readEvaluation, readSamples } from "../evaluation/tasks/sample_files.ts";
import { evaluate } from "./evaluate.ts";
import { quantize } from "./quantize.ts";
import { Workbench } from "./testing/context.ts";

const TASK = `task: animals
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{question}}"
doc_to_choice: [cat, dog]
doc_to_target: label
metadata: { version: 4 }
`;

/** Every other question is longer than the 64 positions of the model. */
const ROWS = Array.from({ length: 6 }, (_, index) => ({
  question: index % 2 === 0 ? `${index}: the` : `${index}: the cat sat on mat all day `.repeat(9),
  label: index % 2,
}));

async function withRows(
  use: (bench: Workbench, folder: string) => Promise<void>,
): Promise<void> {
  await inFolder(async (folder) => {
    const bench = new Workbench(folder);
    await bench.run(quantize, "base", { model: `${folder}/tiny`, quantizer: { method: "none" } });
    await Deno.writeTextFile(`${folder}/animals.yaml`, TASK);
    await Deno.writeTextFile(
      `${folder}/rows.jsonl`,
      ROWS.map((row) => JSON.stringify(row) + "\n").join(""),
    );
    await use(bench, folder);
  });
}

Deno.test("evaluate: a task file gives metrics, a record and its items", () =>
  withRows(async (bench, folder) => {
    const task = `${folder}/animals.yaml`;
    const data = { test: `${folder}/rows.jsonl` };
    const { metrics } = await bench.run(evaluate, "quality", {
      tasks: [
        { task, data },
        { task, data, name: "again", num_fewshot: 1, on_long_prompt: "skip", bos: "none" },
        { task: "perplexity", data: { text: `${folder}/text.txt` }, window: 16 },
      ],
    }, "base");
    assert.equal(metrics.animals_acc?.protocol, "lm-eval animals v4, 0-shot");
    assert.equal(metrics.again_acc?.protocol, "lm-eval animals v4, 1-shot, bos none");
    const { animals_items: items, animals_truncated_items: cut, animals_left_out_items: out } =
      metrics;
    assert.deepEqual([items?.value, cut?.value, out?.value], [6, 3, 0]);
    assert.deepEqual(
      [
        metrics.again_truncated_items?.value,
        Number(metrics.again_items?.value) +
        Number(metrics.again_left_out_items?.value),
      ],
      [0, 6],
    );
    assert.ok((metrics.again_left_out_items?.value ?? 0) >= 3);
    assert.ok(metrics.perplexity !== undefined);

    const record = readEvaluation(`${folder}/quality`);
    assert.deepEqual(
      record?.tasks.map((entry) => [entry.task, entry.num_fewshot, entry.original]),
      [
        ["animals", 0, 6],
        ["again", 1, 6],
      ],
    );
    const samples = readSamples(`${folder}/quality`, "animals");
    assert.deepEqual(samples.map(({ doc_id }) => doc_id), [0, 1, 2, 3, 4, 5]);
    assert.deepEqual(samples[0]?.arguments, [["0: the", " cat"], ["0: the", " dog"]]);
    const right = samples.reduce((sum, { metrics }) => sum + Number(metrics.acc), 0);
    assert.equal(metrics.animals_acc?.value, right / 6);
    assert.equal(
      bench.log.filter((line) => /left out .*rows\.jsonl:\d+: the prompt/.test(line)).length >= 3,
      true,
    );
  }));

Deno.test("evaluate: another batch size changes nothing", () =>
  withRows(async (bench, folder) => {
    const tasks = [{ task: `${folder}/animals.yaml`, data: { test: `${folder}/rows.jsonl` } }];
    await bench.run(evaluate, "one", { tasks, batch_size: 1 }, "base");
    await bench.run(evaluate, "five", { tasks, batch_size: 5 }, "base");
    const samples = (name: string) => Deno.readTextFile(`${folder}/${name}/samples/animals.jsonl`);
    assert.equal(await samples("one"), await samples("five"));
  }));

Deno.test("evaluate: sources are the task file, what it includes, and the data", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/base`, TASK);
    await Deno.writeTextFile(`${folder}/animals.yaml`, "include: base\n");
    const sources = (task: object) =>
      evaluate.sources(evaluate.parameters.parse({ tasks: [task] }));
    assert.deepEqual(
      sources({ task: `${folder}/animals.yaml`, data: { test: ["a", "b"] }, num_fewshot: 1 }),
      [
        { reference: `${folder}/animals.yaml`, path: "tasks.0.task" },
        { reference: `${folder}/base`, path: "tasks.0.task.0" },
        { reference: "a", path: "tasks.0.data.test.0" },
        { reference: "b", path: "tasks.0.data.test.1" },
      ],
    );
    assert.deepEqual(sources({ task: "hellaswag", num_fewshot: 2 }), [
      {
        reference: "hf:datasets/Rowan/hellaswag@refs/convert/parquet/default/validation/*.parquet",
        path: "tasks.0.data.test",
      },
      {
        reference: "hf:datasets/Rowan/hellaswag@refs/convert/parquet/default/train/*.parquet",
        path: "tasks.0.data.fewshot",
      },
    ]);
    assert.equal(sources({ task: "mmlu" }).length, 57);
  }));

Deno.test("evaluate: what a task lacks is said before anything runs", () =>
  inFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/bad.yaml`, "task: bad\nmetric_lst: []\n");
    const mistakes = evaluate.check?.(
      evaluate.parameters.parse({
        tasks: [
          { task: `${folder}/bad.yaml` },
          { task: "svamp" },
          { task: "hellaswag", num_fewshot: 3, data: { test: "rows.jsonl" } },
          { task: "hellaswag", data: { test: "rows.jsonl" } },
          { task: "mmlu", data: { test: "rows.jsonl", fewshot: "dev.jsonl" }, num_fewshot: 5 },
        ],
      }),
      [],
    );
    assert.deepEqual(mistakes?.map(({ path }) => path), [
      ...["tasks.3.task", "tasks.0.task", "tasks.1.data", "tasks.2.data"],
    ]);
    const text = mistakes?.map(({ message }) => message).join("\n") ?? "";
    assert.match(text, /bad\.yaml:2: Unknown key "metric_lst"; did you mean "metric_list"/);
    assert.match(text, /Two tasks are named "hellaswag"/);
    assert.match(text, /svamp does not say where its questions are/);
    assert.match(
      text,
      /takes its examples from the split "train": name their files under data\.fewshot/,
    );
  }));

Deno.test("evaluate: only draws of generated texts depend on the seed", () => {
  const seed = (task: object) =>
    evaluate.dependsOn(evaluate.parameters.parse({ tasks: [task] })).seed;
  assert.equal(seed({ task: "gsm8k" }), false);
  assert.equal(seed({ task: "gsm8k_loftq", generation: { do_sample: true, top_k: 40 } }), true);
  assert.equal(seed({ task: "hellaswag" }), false);
});
