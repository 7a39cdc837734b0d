// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { Sample, SampleMetric, TaskRecord } from "../evaluation/tasks/sample.ts";
import { writeEvaluation } from "../evaluation/tasks/sample_files.ts";
import { type ComparedModel, compareModels, comparisonTable } from "./comparison.ts";
import { formatTable, toTerminal } from "./table_formats.ts";

type Items =
  readonly (readonly [filter: string, id: number, Readonly<Record<string, SampleMetric>>])[];

function sample(task: string, [filter, id, metrics]: Items[number]): Sample {
  const doc = { task, question: `number ${id}` };
  return {
    doc_id: id,
    doc,
    target: 0,
    arguments: [],
    resps: [],
    filtered_resps: [],
    filter,
    metrics,
  };
}

function recordOf(task: string, items: Items, more: Partial<TaskRecord> = {}): TaskRecord {
  const keys = items.flatMap(([filter, , metrics]) =>
    Object.keys(metrics).map((name) => `${name},${filter}`)
  );
  return {
    task,
    version: 1,
    config: { task },
    num_fewshot: 0,
    higher_is_better: {},
    original: items.length,
    effective: items.length,
    metrics: Object.fromEntries(keys.map((key) => [key, { value: 0, standardError: null }])),
    ...more,
  };
}

async function withModels(
  evaluations: readonly Readonly<Record<string, Items>>[],
  test: (models: readonly ComparedModel[]) => void,
  more: Partial<TaskRecord> = {},
): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    const models = evaluations.map((_, index) => ({
      name: `run:0/${"AB"[index]}`,
      folders: [join(root, `${index}`)],
    }));
    for (const [index, tasks] of evaluations.entries()) {
      await Deno.mkdir(models[index]!.folders[0]!);
      await writeEvaluation(
        models[index]!.folders[0]!,
        {
          tasks: Object.entries(tasks).map(([task, items]) => recordOf(task, items, more)),
          groups: [],
        },
        new Map(
          Object.entries(tasks).map(([task, items]) => [task, items.map((i) => sample(task, i))]),
        ),
      );
    }
    test(models);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

const RIGHT = [1, 0, 1, 1, 0, 1, 0, 0, 1, 1];
const LATER = [1, 1, 1, 1, 1, 1, 0, 0, 0, 1];

function answers(values: readonly number[]): Items {
  return values.flatMap((value, id) => [
    ["strict", id, { exact_match: value }] as const,
    ["loose", id, { exact_match: 1 - value }] as const,
  ]);
}

Deno.test("a table of two models: numbers, difference, flips and p", async () => {
  const pages = (shift: number): Items =>
    [-30, -50, -20, -80].map((value, id) =>
      ["none", id, { word_perplexity: [value - shift * id, 10] }] as const
    );
  await withModels([
    { sums: answers(RIGHT), pages: pages(0), only: answers([1]) },
    { pages: pages(2), sums: answers(LATER) },
  ], ([first, second]) => {
    const { metrics, notes } = compareModels(first!, second!);
    assert.deepEqual(metrics.map(({ task, metric }) => `${task}: ${metric}`), [
      "sums: exact_match, strict",
      "sums: exact_match, loose",
      "pages: word_perplexity",
    ]);
    const [strict, loose, page] = metrics.map(({ comparison }) => comparison);
    assert.deepEqual(
      [strict!.items, strict!.first, strict!.second, strict!.gained, strict!.lost],
      [10, 0.6, 0.7, 2, 1],
    );
    assert.ok(Math.abs(strict!.difference - 0.1) < 1e-15);
    assert.ok(Math.abs(strict!.standardError! - Math.sqrt((0.3 - 0.01) / 9)) < 1e-15);
    assert.equal(strict!.p, 1);
    assert.deepEqual([loose!.gained, loose!.lost], [1, 2]);
    assert.equal(page!.test, "bootstrap");
    assert.ok(Math.abs(page!.first - Math.exp(180 / 40)) < 1e-9);
    assert.ok(Math.abs(page!.second - Math.exp(192 / 40)) < 1e-9);
    assert.deepEqual(notes, ["run:0/B was not asked only."]);
    const table = comparisonTable(compareModels(first!, second!));
    const lines = toTerminal(table, false).split("\n");
    assert.equal(lines[0], "A: run:0/A, B: run:0/B");
    assert.match(lines[1]!, /^task +metric +n +A +B +B - A +b +c +p$/);
    assert.match(
      lines[3]!,
      /^sums +exact_match, strict +10 +0\.6000 +0\.7000 +0\.1000 ± 0\.1795 +2 +1 +1\.0000$/,
    );
    assert.match(lines[5]!, /^pages +word_perplexity +4 .* -- +-- /);
    assert.match(lines[6]!, /^B - A ± its standard error/);
    assert.match(formatTable(table, "md"), /\| sums \| exact_match, strict \| 10 \|/);
  });
});

Deno.test("bits per byte and perplexities of one number per item follow from the aggregation", async () => {
  const items: Items = [[-4, 3], [-6, 5]]
    .map((pair, id) => ["none", id, { bits_per_byte: [pair[0]!, pair[1]!], perplexity: pair[0]! }]);
  await withModels([{ text: items }, { text: items }], ([first, second]) => {
    const { metrics } = compareModels(first!, second!);
    assert.ok(Math.abs(metrics[0]!.comparison.first - 10 / 8 / Math.LN2) < 1e-15);
    assert.ok(Math.abs(metrics[1]!.comparison.first - Math.exp(5)) < 1e-9);
    assert.deepEqual(metrics.map(({ comparison }) => comparison.difference), [0, 0]);
  });
});

Deno.test("what cannot be paired is counted and said", async () => {
  const [some, others] = [answers(RIGHT).slice(0, 12), answers(LATER).slice(4)];
  await withModels([{ sums: some }, { sums: others }], ([first, second]) => {
    const { metrics, notes } = compareModels(first!, second!);
    assert.equal(metrics[0]!.comparison.items, 4);
    assert.deepEqual(notes, ["sums: 6 items were asked only of one model, and do not count."]);
  });
  const median = { metric_list: [{ metric: "exact_match", aggregation: "median" }] };
  await withModels([{ sums: some }, { sums: some }], ([first, second]) => {
    assert.throws(() => compareModels(first!, second!), UserError);
  }, { config: median });
  await withModels([{ one: some }, { two: some }], ([first, second]) => {
    assert.throws(() => compareModels(first!, second!), /no task whose items both run:0\/A and/);
  });
});

Deno.test("items that differ are refused", async () => {
  await withModels([{ sums: answers([1, 0]) }, { sums: answers([1, 1]) }], ([first, second]) => {
    const path = join(second!.folders[0]!, "samples", "sums.jsonl");
    Deno.writeTextFileSync(path, Deno.readTextFileSync(path).replaceAll("number 1", "number one"));
    assert.throws(
      () => compareModels(first!, second!),
      /Item 1 of sums is not the same for run:0\/A and run:0\/B/,
    );
  });
});
