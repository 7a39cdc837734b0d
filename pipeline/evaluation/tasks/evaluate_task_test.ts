import assert from "node:assert/strict";
import { UserError } from "../../errors.ts";
import type { RequestModel } from "../requests/request.ts";
import type { Evaluated, EvaluateOptions } from "./evaluate_task.ts";
import { evaluateTask } from "./evaluate_task.ts";
import { FEWSHOT_SEED } from "./fewshot.ts";
import { loadTaskFile } from "./load_task.ts";
import { namingRefusals } from "./refused_request.ts";
import { renamed } from "./rename.ts";

const TASK = `task: colours
output_type: multiple_choice
validation_split: validation
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: label
target_delimiter: ""
metric_list: [{ metric: acc }, { metric: acc_norm }, { metric: acc_bytes }]
`;

const GENERATED = `task: sums
output_type: generate_until
validation_split: validation
doc_to_text: question
doc_to_target: "{{label}}"
`;

const ROWS = [
  { question: "q0", choices: ["aa", "b"], label: 0 },
  { question: "q1", choices: ["aa", "b"], label: 1 },
  { question: "q2", choices: ["é", "bb"], label: 1 },
];

/** Two characters of four bytes each, which are four units in JavaScript, and three of one byte. */
const SMILES = { question: "q3", choices: ["🙂🙂", "ccc"], label: 1 };

interface Setting {
  readonly task?: string;
  readonly rows?: readonly object[];
  readonly lines?: string;
  readonly model?: Partial<RequestModel>;
  readonly options?: Partial<EvaluateOptions>;
}

async function evaluate(setting: Setting): Promise<{ evaluated: Evaluated; folder: string }> {
  const folder = await Deno.makeTempDir();
  try {
    const rows = (setting.rows ?? ROWS).map((row) => JSON.stringify(row)).join("\n");
    await Deno.writeTextFile(`${folder}/rows.jsonl`, setting.lines ?? rows);
    await Deno.writeTextFile(`${folder}/task.yaml`, setting.task ?? TASK);
    const evaluated = await evaluateTask(
      loadTaskFile(`${folder}/task.yaml`, () => null),
      { test: [`${folder}/rows.jsonl`], fewshot: null },
      { ...model(() => -1), ...setting.model },
      {
        shots: null,
        seed: FEWSHOT_SEED,
        limit: null,
        onBadItem: "error",
        onLongPrompt: "truncate",
        bootstrapIterations: 0,
        log: () => {},
        report: () => {},
        ...setting.options,
      },
    );
    return { evaluated, folder };
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Answers in any order; `cut` says how much of a prompt does not fit. */
function model(
  score: (context: string, continuation: string) => number,
  cut: (context: string) => number = () => 0,
): RequestModel {
  return {
    async *logLikelihoods(requests) {
      for (const [index, { context, continuation }] of [...requests.entries()].reverse()) {
        const value = { sum: score(context, continuation), isGreedy: false, tokens: 1 };
        yield { index, value, truncated: cut(context) };
      }
      await Promise.resolve();
    },
    async *rollingLogLikelihoods(texts) {
      for (const index of texts.keys()) yield { index, value: { sum: -8, tokens: 4 } };
      await Promise.resolve();
    },
    async *generations(requests) {
      for (const [index, { repeat = 0 }] of requests.entries()) yield { index, value: `${repeat}` };
      await Promise.resolve();
    },
  };
}

function value(evaluated: Evaluated, key: string): number {
  return evaluated.record.tasks[0]?.metrics[key]?.value ?? NaN;
}

Deno.test("a uniform model takes the first of equal choices, and the longest by length", async () => {
  const { evaluated } = await evaluate({});
  assert.equal(value(evaluated, "acc,none"), 1 / 3);
  // By character "aa" and "bb" win; by byte "é" is as long as "bb", and first.
  assert.equal(value(evaluated, "acc_norm,none"), 2 / 3);
  assert.equal(value(evaluated, "acc_bytes,none"), 1 / 3);
  const smiles = (await evaluate({ rows: [SMILES] })).evaluated;
  assert.deepEqual(
    [value(smiles, "acc_norm,none"), value(smiles, "acc_bytes,none")],
    [1, 0],
  );
});

Deno.test("a model that knows the answers is right, whatever the order of answers", async () => {
  const right = new Map(ROWS.map(({ question, choices, label }) => [question, choices[label]]));
  const reports: [number, number, number | undefined][] = [];
  const { evaluated } = await evaluate({
    model: model((context, continuation) => right.get(context) === continuation ? -0.5 : -9),
    options: { report: (done, total, { acc }) => reports.push([done, total, acc]) },
  });
  assert.equal(value(evaluated, "acc,none"), 1);
  assert.deepEqual(reports, [[0, 3, undefined], [1, 3, 1], [2, 3, 1], [3, 3, 1]]);
  const [first] = evaluated.samples.get("colours") ?? [];
  assert.deepEqual(first, {
    doc_id: 0,
    doc: ROWS[0],
    target: 0,
    arguments: [["q0", "aa"], ["q0", "b"]],
    resps: [[[-0.5, false]], [[-9, false]]],
    filtered_resps: [[-0.5, false], [-9, false]],
    filter: "none",
    metrics: { acc: 1, acc_norm: 1, acc_bytes: 1 },
  });
});

Deno.test("bad rows: an error with file and line, or left out and counted", async () => {
  const good = JSON.stringify(ROWS[0]);
  const bad: readonly (readonly [string, RegExp])[] = [
    [JSON.stringify({ choices: ["a"], label: 0 }), /no column "question"/],
    [JSON.stringify({ question: "q", choices: ["a", "b"], label: 2 }), /right answer 2 is none/],
    [JSON.stringify({ question: "q", choices: ["", "b"], label: 0 }), /continuation .* is empty/],
    [JSON.stringify({ question: "q", choices: [], label: 0 }), /there are no choices/],
    [JSON.stringify({ question: "q", choices: "ab", label: 0 }), /must give a list of texts/],
    ["{not json", /rows\.jsonl:2: /],
  ];
  for (const [line, message] of bad) {
    const lines = `${good}\n${line}\n${good}\n`;
    await assert.rejects(evaluate({ lines }), (error: Error) => {
      assert.ok(error instanceof UserError, error.stack);
      assert.match(error.message, /rows\.jsonl:2: /);
      assert.match(error.message, message);
      assert.match(error.message, /on_bad_item: skip/);
      return true;
    });
    const log: string[] = [];
    const options = { onBadItem: "skip", log: (text: string) => log.push(text) } as const;
    const { evaluated } = await evaluate({ lines, options });
    assert.equal(evaluated.bad, 1);
    assert.equal(evaluated.record.tasks[0]?.effective, 2);
    assert.equal(log.length, 1);
    assert.match(log[0] ?? "", /left out .*rows\.jsonl:2: /);
  }
  const line = JSON.stringify({ choices: ["a"], label: 0 });
  await assert.rejects(
    evaluate({ lines: line, options: { onBadItem: "skip" } }),
    /has no item to ask in .*rows\.jsonl: 1 were left out/,
  );
});

Deno.test("long prompts: cut and counted, left out and counted, or an error", async () => {
  const long = model(() => -1, (context) => context === "q1" ? 7 : 0);
  const cut = await evaluate({ model: long });
  assert.deepEqual([cut.evaluated.truncated, cut.evaluated.long], [1, 0]);
  assert.equal(cut.evaluated.record.tasks[0]?.effective, 3);
  const skipped = await evaluate({ model: long, options: { onLongPrompt: "skip" } });
  assert.deepEqual([skipped.evaluated.truncated, skipped.evaluated.long], [0, 1]);
  assert.equal(skipped.evaluated.record.tasks[0]?.effective, 2);
  await assert.rejects(
    evaluate({ model: long, options: { onLongPrompt: "error" } }),
    /rows\.jsonl:2: the prompt is 7 tokens longer than the model's context/,
  );
  await assert.rejects(
    evaluate({ model: model(() => -1, () => 1), options: { onLongPrompt: "skip" } }),
    /The task colours has no item left: .* no prompt fits/,
  );
});

Deno.test("what the model refuses is named by its row, or left out and counted", async () => {
  const refusing = namingRefusals({
    ...model(() => -1),
    async *logLikelihoods(requests) {
      const index = requests.findIndex(({ context }) => context === "q1");
      if (index >= 0) throw new UserError(`Request ${index} has an empty continuation: nothing`);
      yield* model(() => -1).logLikelihoods(requests);
    },
  });
  await assert.rejects(
    evaluate({ model: refusing }),
    /rows\.jsonl:2: the model refuses a request, which has an empty continuation/,
  );
  const { evaluated } = await evaluate({ model: refusing, options: { onBadItem: "skip" } });
  assert.equal(evaluated.bad, 1);
  assert.deepEqual(evaluated.samples.get("colours")?.map(({ doc_id }) => doc_id), [0, 2]);
  const broken = namingRefusals({
    ...model(() => -1),
    logLikelihoods: () => {
      throw new UserError("The device is gone");
    },
  });
  await assert.rejects(evaluate({ model: broken }), /The device is gone/);
});

Deno.test("limits are numbers of items or shares, rounded up", async () => {
  const counts = [];
  for (const limit of [1, 2, 99, 0.5, 0.01]) {
    const { evaluated } = await evaluate({ options: { limit } });
    counts.push(evaluated.record.tasks[0]?.effective);
    assert.equal(evaluated.record.tasks[0]?.original, 3);
  }
  assert.deepEqual(counts, [1, 2, 3, 2, 1]);
});

Deno.test("examples: from the questions without the question itself, or not enough of them", async () => {
  const { evaluated } = await evaluate({ options: { shots: 2 } });
  const contexts = evaluated.samples.get("colours")?.map((sample) =>
    String(sample.arguments[0]?.[0])
  );
  assert.equal(contexts?.length, 3);
  for (const [index, context] of (contexts ?? []).entries()) {
    const others = ROWS.filter((_, row) => row !== index)
      .map(({ question, choices, label }) => question + choices[label]);
    assert.deepEqual(context.split("\n\n").slice(0, 2).sort(), others);
    assert.ok(context.endsWith(`q${index}`));
  }
  await assert.rejects(evaluate({ options: { shots: 3 } }), /num_fewshot is 3, but there are 3/);
  await assert.rejects(
    evaluate({ task: `${TASK}num_fewshot: 0\n`, options: { shots: 1 } }),
    /defined without examples \(num_fewshot: 0\)/,
  );
  await assert.rejects(
    evaluate({ task: `${TASK}fewshot_split: train\n`, options: { shots: 1 } }),
    /takes its examples from the split "train": name its files under data\.fewshot/,
  );
});

Deno.test("generations: repeats are draws of their own, and a filter chooses", async () => {
  const { evaluated } = await evaluate({
    task: `${GENERATED}repeats: 3
filter_list:
  - { name: first, filter: [{ function: take_first }] }
  - { name: two, filter: [{ function: take_first_k, k: 2 }, { function: majority_vote }] }
`,
  });
  const samples = evaluated.samples.get("sums") ?? [];
  assert.deepEqual(samples[0]?.resps, [["0", "1", "2"]]);
  assert.deepEqual(samples.map(({ filter }) => filter), [
    ...["first", "first", "first", "two", "two", "two"],
  ]);
  // The labels are 0, 1, 1; every first answer is 0.
  assert.equal(value(evaluated, "exact_match,first"), 1 / 3);
});

Deno.test("rolling texts: perplexities by word and byte, without standard errors", async () => {
  const { evaluated } = await evaluate({
    task: `task: texts
output_type: loglikelihood_rolling
validation_split: validation
doc_to_text: ""
doc_to_target: text
`,
    rows: [{ text: "a b c" }, { text: "dé" }],
  });
  const metrics = evaluated.record.tasks[0]?.metrics ?? {};
  assert.equal(metrics["word_perplexity,none"]?.value, Math.exp(16 / 4));
  assert.equal(metrics["byte_perplexity,none"]?.value, Math.exp(16 / 8));
  assert.equal(metrics["bits_per_byte,none"]?.value, 16 / 8 / Math.LN2);
  for (const { standardError } of Object.values(metrics)) assert.equal(standardError, null);
});

Deno.test("an entry may be named otherwise than its task", async () => {
  const { evaluated } = await evaluate({});
  const other = renamed(evaluated, "colours", "paint");
  assert.deepEqual([...other.samples.keys()], ["paint"]);
  assert.equal(other.record.tasks[0]?.task, "paint");
  assert.equal(renamed(evaluated, "colours", "colours"), evaluated);
  assert.equal(renamed(evaluated, "mmlu", "x").record.tasks[0]?.task, "x_colours");
});
