/**
 * Bundled tasks against lm-evaluation-harness itself: prompts, examples, continuations, what filters
 * leave, and metrics of invented answers. `tests/oracles/lm_eval_prompts.py` made the fixture.
 *
 * @module
 */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { pooledStandardError } from "../pipeline/evaluation/statistics/standard_error.ts";
import { bundledTask } from "../pipeline/evaluation/tasks/bundled/bundled_tasks.ts";
import { evaluateTask } from "../pipeline/evaluation/tasks/evaluate_task.ts";
import type { Evaluated } from "../pipeline/evaluation/tasks/evaluate_task.ts";
import type { RequestModel } from "../pipeline/evaluation/requests/request.ts";
import { loadTaskFile } from "../pipeline/evaluation/tasks/load_task.ts";
import type { TaskNode } from "../pipeline/evaluation/tasks/task_node.ts";
import { FEWSHOT_SEED } from "../pipeline/evaluation/tasks/fewshot.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

interface Digest {
  readonly sha256: string;
  readonly length: number;
}

interface Item {
  /** Of each request: prompt and continuation, or prompt and settings. */
  readonly arguments: readonly (readonly (string | Digest | object)[])[];
  readonly responses: readonly (readonly [number, boolean] | number | string)[];
  readonly filtered?: Readonly<Record<string, unknown>>;
  readonly metrics: Readonly<Record<string, unknown>>;
}

interface Case {
  readonly task: string;
  readonly num_fewshot: number;
  /** Text of an invented task; absent for bundled ones. */
  readonly yaml?: string;
  /** Invented rows by split. */
  readonly splits?: Readonly<Record<string, readonly object[]>>;
  /** Files of the test data. */
  readonly data?: { readonly test: string; readonly fewshot: string };
  /** Invented examples in place of those of the task file. */
  readonly examples?: readonly object[];
  readonly items: readonly Item[];
  readonly results: Readonly<Record<string, { value: number; standardError: number | null }>>;
}

const fixture: {
  readonly commit: string;
  readonly pooled: {
    parts: { standardError: number; size: number }[];
    standardError: number;
  };
  readonly cases: readonly Case[];
} = JSON.parse(
  await Deno.readTextFile(new URL("fixtures/lm_eval_prompts.json", import.meta.url)),
);

for (const test of fixture.cases) {
  const { task, num_fewshot: shots, data } = test;
  testUnless(
    data === undefined ? null : NO_TEST_DATA,
    `${task}, ${shots}-shot, as lm-evaluation-harness asks it${
      data === undefined ? "" : " of real rows"
    }`,
    async () => {
      const evaluated = await evaluate(test);
      compareItems(evaluated, test);
      for (const [key, expected] of Object.entries(test.results)) {
        const found = evaluated.record.tasks[0]?.metrics[key];
        assert.ok(found !== undefined, key);
        assertNear(found.value, expected.value);
        if (expected.standardError === null) assert.equal(found.standardError, null);
        else assertNear(found.standardError ?? NaN, expected.standardError);
      }
    },
  );
}

Deno.test("at least three items of each task of the harness are compared", () => {
  const counts = new Map<string, number>();
  for (const { task, items, yaml } of fixture.cases) {
    if (yaml !== undefined) continue;
    const name = task.startsWith("mmlu_") ? "mmlu" : task;
    counts.set(name, (counts.get(name) ?? 0) + items.length);
  }
  assert.deepEqual(
    [...counts.keys()].sort(),
    [
      ...["arc_challenge", "arc_easy", "boolq", "gsm8k", "gsm8k_cot", "hellaswag", "mmlu"],
      ...["openbookqa", "piqa", "wikitext", "winogrande"],
    ],
  );
  for (const [name, count] of counts) assert.ok(count >= 3, name);
});

Deno.test("pooled standard errors are those of the harness", () => {
  const { parts, standardError } = fixture.pooled;
  assertNear(pooledStandardError(parts) ?? NaN, standardError);
});

/** Asks the bundled task; the answers are those that the harness was given. */
async function evaluate(test: Case): Promise<Evaluated> {
  const folder = await Deno.makeTempDir();
  try {
    const node = test.yaml === undefined
      ? bundledTask(test.task)
      : await invented(`${folder}/task.yaml`, test);
    assert.ok(node !== null);
    const { test_split: tested, validation_split: validated } = node.kind === "task"
      ? node.config
      : {};
    const files = test.data === undefined
      ? {
        test: await write(`${folder}/test.jsonl`, test.splits?.[tested ?? validated ?? ""] ?? []),
        fewshot: await write(
          `${folder}/fewshot.jsonl`,
          test.examples ?? test.splits?.train ?? test.splits?.dev ?? [],
        ),
      }
      : { test: `${TEST_DATA}/${test.data.test}`, fewshot: `${TEST_DATA}/${test.data.fewshot}` };
    // Other tasks take them from the split of their questions.
    const hasExamples = test.num_fewshot > 0 &&
      (test.data ?? test.examples ?? test.splits?.train ?? test.splits?.dev) !== undefined;
    return await evaluateTask(
      node,
      { test: [files.test], fewshot: hasExamples ? [files.fewshot] : null },
      recordedModel(test.items.flatMap(({ responses }) => responses)),
      {
        shots: test.num_fewshot,
        seed: FEWSHOT_SEED,
        limit: test.items.length,
        onBadItem: "error",
        onLongPrompt: "truncate",
        bootstrapIterations: 0,
        log: () => {},
        report: () => {},
      },
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function invented(path: string, { task, yaml }: Case): Promise<TaskNode> {
  await Deno.writeTextFile(path, `task: ${task}\n${yaml}`);
  return loadTaskFile(path, () => null);
}

async function write(path: string, rows: readonly object[]): Promise<string> {
  await Deno.writeTextFile(path, rows.map((row) => JSON.stringify(row) + "\n").join(""));
  return path;
}

/** Gives the recorded responses, the last one first: the order of answers must not matter. */
function recordedModel(responses: readonly Item["responses"][number][]): RequestModel {
  async function* answers<Value>(
    count: number,
    value: (index: number) => Value,
  ): AsyncGenerator<{ index: number; value: Value }> {
    assert.equal(count, responses.length);
    for (let index = count - 1; index >= 0; index--) yield { index, value: value(index) };
    await Promise.resolve();
  }
  return {
    logLikelihoods: ({ length }) =>
      answers(length, (index) => {
        const [sum, isGreedy] = responses[index] as readonly [number, boolean];
        return { sum, isGreedy, tokens: 1 };
      }),
    rollingLogLikelihoods: ({ length }) =>
      answers(length, (index) => ({ sum: Number(responses[index]), tokens: 1 })),
    generations: ({ length }) => answers(length, (index) => String(responses[index])),
  };
}

function compareItems(evaluated: Evaluated, test: Case): void {
  const [samples = []] = evaluated.samples.values();
  for (const [id, item] of test.items.entries()) {
    const own = samples.filter((sample) => sample.doc_id === id);
    assert.notEqual(own.length, 0);
    const metrics: Record<string, unknown> = {};
    for (const sample of own) {
      assert.equal(sample.arguments.length, item.arguments.length);
      for (const [index, expected] of item.arguments.entries()) {
        compareArguments(sample.arguments[index] ?? [], expected);
      }
      if (item.filtered !== undefined) {
        assert.deepEqual(
          sample.filtered_resps[0],
          item.filtered[sample.filter] ?? sample.resps[0]?.[0],
        );
      }
      for (const [name, value] of Object.entries(sample.metrics)) {
        metrics[`${name},${sample.filter}`] = value;
      }
    }
    for (const [key, value] of Object.entries(item.metrics)) {
      assert.deepEqual(metrics[key], value, `${key} of item ${id}`);
    }
  }
}

function compareArguments(found: readonly unknown[], expected: Item["arguments"][number]): void {
  assert.equal(found.length, expected.length);
  for (const [index, wanted] of expected.entries()) {
    const value = found[index];
    if (typeof wanted === "string") assert.equal(value, wanted);
    else if ("sha256" in wanted) {
      const text = String(value);
      assert.equal([...text].length, wanted.length);
      assert.equal(createHash("sha256").update(text).digest("hex"), wanted.sha256);
    } else {
      const settings = value as Readonly<Record<string, unknown>>;
      for (const [key, setting] of Object.entries(wanted)) {
        assert.deepEqual(settings[key], setting, key);
      }
    }
  }
}

function assertNear(found: number, expected: number): void {
  assert.ok(Math.abs(found - expected) <= 1e-12 * Math.abs(expected), `${found}, not ${expected}`);
}
