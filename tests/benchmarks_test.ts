/**
 * Benchmarks as their authors published them: every row is read, every prompt is made. The rows stay in
 * the test data; here are counts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readTable } from "../pipeline/data/tables/read_table.ts";
import type { RequestModel } from "../pipeline/evaluation/requests/request.ts";
import { bundledTask } from "../pipeline/evaluation/tasks/bundled/bundled_tasks.ts";
import { evaluateTask } from "../pipeline/evaluation/tasks/evaluate_task.ts";
import { FEWSHOT_SEED } from "../pipeline/evaluation/tasks/fewshot.ts";
import { buildFilters } from "../pipeline/evaluation/tasks/filters.ts";
import { loftqAnswer } from "../pipeline/evaluation/tasks/functions/numeric_answers.ts";
import { exactMatch, metricsOf } from "../pipeline/evaluation/tasks/item_metrics.ts";
import { planTask } from "../pipeline/evaluation/tasks/plan_task.ts";
import { TaskFiles } from "../pipeline/evaluation/tasks/task_data.ts";
import { leaves, type Task, type TaskNode } from "../pipeline/evaluation/tasks/task_node.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const OPTIONS = {
  shots: null,
  seed: FEWSHOT_SEED,
  limit: null,
  onBadItem: "error",
  onLongPrompt: "truncate",
  bootstrapIterations: 0,
  log: () => {},
  report: () => {},
} as const;

function node(name: string): TaskNode {
  const found = bundledTask(name);
  assert.ok(found !== null);
  return found;
}

function task(name: string): Task {
  const found = node(name);
  assert.ok(found.kind === "task");
  return found;
}

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`).sort();
}

/** Scores a continuation by what is given; generates nothing. */
function modelOf(score: (continuation: string, index: number) => number): RequestModel {
  return {
    async *logLikelihoods(requests) {
      for (const [index, { continuation }] of requests.entries()) {
        yield { index, value: { sum: score(continuation, index), isGreedy: false, tokens: 1 } };
      }
      await Promise.resolve();
    },
    rollingLogLikelihoods: () => assert.fail("nobody asks for texts"),
    generations: () => assert.fail("nobody asks for generations"),
  };
}

testUnless(NO_TEST_DATA, "MMLU: 14,042 questions, 285 examples, 57 subjects", async () => {
  const test = filesIn(`${TEST_DATA}/eval/mmlu/test`);
  const fewshot = filesIn(`${TEST_DATA}/eval/mmlu/dev`);
  assert.deepEqual([test.length, fewshot.length], [57, 57]);
  let examples = 0;
  for (const path of fewshot) for await (const _ of readTable(path)) examples++;
  assert.equal(examples, 285);

  // All choices are as likely: the first is taken, and right where the answer is A.
  const { record, samples } = await evaluateTask(
    node("mmlu"),
    { test, fewshot },
    modelOf(() => -1),
    { ...OPTIONS, shots: 5 },
  );
  const sizes = Object.fromEntries(record.groups.map(({ group, effective }) => [group, effective]));
  assert.deepEqual(sizes, {
    mmlu: 14042,
    mmlu_stem: 3153,
    mmlu_other: 3107,
    mmlu_social_sciences: 3077,
    mmlu_humanities: 4705,
    mmlu_hendrycks_stem: 3018,
    mmlu_hendrycks_other: 3242,
  });
  assert.equal(record.tasks.length, 57);
  const all = [...samples.values()].flat();
  const right = all.filter(({ target }) => target === 0).length;
  const [whole] = record.groups;
  assert.ok(Math.abs((whole?.metrics["acc,none"]?.value ?? NaN) - right / 14042) < 1e-12);
  const macro = record.tasks.reduce(
    (sum, { metrics }) => sum + (metrics["acc,none"]?.value ?? NaN),
    0,
  );
  assert.ok(Math.abs((whole?.metrics["acc_macro,none"]?.value ?? NaN) - macro / 57) < 1e-12);
  assert.notEqual(whole?.metrics["acc,none"]?.value, whole?.metrics["acc_macro,none"]?.value);
  const subject = record.tasks.find((entry) => entry.task === "mmlu_professional_law");
  assert.equal(subject?.effective, 1534);
  await checkFormat(String(samples.get("mmlu_us_foreign_policy")?.[7]?.arguments[2]?.[0]));
});

/** The format of the references, from the rows of the files. */
async function checkFormat(found: string): Promise<void> {
  const rows = async (split: string) => {
    const path = `${TEST_DATA}/eval/mmlu/${split}/us_foreign_policy_${split}.csv`;
    return (await Array.fromAsync(readTable(path))).map(({ fields }) => {
      const { question, choice0, choice1, choice2, choice3 } = fields;
      return {
        text: `${String(question).trim()}\nA. ${choice0}\nB. ${choice1}\nC. ${choice2}\n` +
          `D. ${choice3}\nAnswer:`,
        letter: "ABCD".charAt(Number(fields.answer)),
      };
    });
  };
  const examples = (await rows("dev")).map(({ text, letter }) => `${text} ${letter}\n\n`).join("");
  const question = (await rows("test"))[7]?.text;
  const description =
    "The following are multiple choice questions (with answers) about us foreign policy.\n\n";
  assert.equal(found, description + examples + question);
}

testUnless(NO_TEST_DATA, "MMLU of QLoRA's callback: 1,531 questions", async () => {
  const files = { test: [`${TEST_DATA}/eval/mmlu/zero_shot_val.jsonl`], fewshot: null };
  const model = modelOf((continuation) => continuation === " A" ? -1 : -2);
  const { record } = await evaluateTask(node("mmlu_qlora"), files, model, OPTIONS);
  assert.equal(record.groups[0]?.effective, 1531);
});

testUnless(NO_TEST_DATA, "HellaSwag: 10,042 items; acc_norm divides by characters", async () => {
  const files = {
    test: [`${TEST_DATA}/eval/hellaswag/hellaswag_val_full.txt.bz2`],
    fewshot: null,
  };
  const { record, samples } = await evaluateTask(
    node("hellaswag"),
    files,
    modelOf((continuation) => -Math.sqrt([...continuation].length)),
    OPTIONS,
  );
  const items = samples.get("hellaswag") ?? [];
  assert.equal(items.length, 10042);
  const lengths = items.map(({ doc }) => (doc.choices as string[]).map((text) => [...text].length));
  const share = (pick: (lengths: number[]) => number) =>
    items.filter(({ target }, index) => pick(lengths[index] ?? []) === target).length / 10042;
  const metrics = record.tasks[0]?.metrics;
  // -sqrt(n + 1) is largest for the shortest ending, -sqrt(n + 1) / n for the longest.
  const shortest = share((all) => all.indexOf(Math.min(...all)));
  const longest = share((all) => all.indexOf(Math.max(...all)));
  assert.ok(Math.abs((metrics?.["acc,none"]?.value ?? NaN) - shortest) < 1e-12);
  assert.ok(Math.abs((metrics?.["acc_norm,none"]?.value ?? NaN) - longest) < 1e-12);
  assert.notEqual(shortest, longest);
});

testUnless(NO_TEST_DATA, "GSM8K: every gold answer of the test rows is extracted", async () => {
  const rows = await Array.fromAsync(readTable(`${TEST_DATA}/eval/gsm8k/test.jsonl`));
  assert.equal(rows.length, 1319);
  const gsm8k = task("gsm8k");
  const [metric] = metricsOf(gsm8k);
  assert.ok(metric !== undefined);
  const filters = buildFilters(gsm8k);
  for (const { fields, place } of rows) {
    const answer = String(fields.answer);
    for (const filter of filters) {
      assert.equal(
        exactMatch([answer], filter.apply([answer]), metric),
        1,
        `${place} ${filter.name}`,
      );
    }
    // What LoftQ trains on: its marker in place of the dataset's.
    const gold = Number(answer.split("####")[1]?.replaceAll(",", ""));
    assert.equal(loftqAnswer(answer.replace("####", "The final answer is: ")), gold, place);
  }
});

testUnless(NO_TEST_DATA, "LLM-Adapters: all rows of the sets that are there", async () => {
  const files = {
    test: ["boolq", "piqa", "social_i_qa", "winogrande", "ARC-Easy", "ARC-Challenge", "openbookqa"]
      .concat("mawps", "AddSub", "MultiArith", "SingleEq")
      .map((set) => `${TEST_DATA}/eval/llm-adapters/${set}/test.json`),
    fewshot: null,
  };
  const reader = new TaskFiles();
  const sizes: Record<string, number> = {};
  const missing: string[] = [];
  for (const name of ["arithmetic", "arithmetic_more", "commonsense"]) {
    for (const leaf of leaves(node(name))) {
      try {
        const { items } = await planTask(leaf, files, reader, OPTIONS);
        sizes[leaf.name] = items.length;
        for (const { asked, document } of items) {
          assert.ok(asked.kind === "generation" && asked.requests.length === 1);
          assert.ok(asked.requests[0]?.context.includes(String(document.fields.instruction)));
        }
      } catch (error) {
        if ((error as Error).name !== "UserError") throw error;
        missing.push(leaf.name);
      }
    }
  }
  assert.deepEqual(missing, ["arithmetic_gsm8k", "svamp", "aqua", "commonsense_hellaswag"]);
  assert.deepEqual(sizes, {
    mawps: 238,
    addsub: 395,
    multiarith: 600,
    singleeq: 508,
    commonsense_boolq: 3270,
    commonsense_piqa: 1838,
    commonsense_siqa: 1954,
    commonsense_winogrande: 1267,
    commonsense_arc_easy: 2376,
    commonsense_arc_challenge: 1172,
    commonsense_openbookqa: 500,
  });
});
