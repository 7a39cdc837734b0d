import assert from "node:assert/strict";
import { UserError } from "../errors.ts";
import { trainByteLevelBpe } from "./byte_level_bpe.ts";
import { loadDataset, TRAINING_DATA } from "./load_dataset.ts";
import type { RowExamples } from "./examples/row_examples.ts";
import { JSONL_DATA, loadPromptCompletions } from "./prompt_completions.ts";
import { Tokenizer } from "./tokenizer.ts";

/** Bytes and the given merges: BOS is 0, EOS 1, "!" 2, '"' 3, "#" 4, "$" 5. */
function tokenizerOf(texts: string[] = [], vocabSize = 258): Tokenizer {
  const { tokenizer, config } = trainByteLevelBpe(texts, { vocabSize });
  return new Tokenizer(tokenizer, config);
}

async function load(
  lines: (object | string)[],
  options: object = {},
  tokenizer = tokenizerOf(),
  length = 8,
): Promise<RowExamples> {
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    const text = lines.map((line) => typeof line === "string" ? line : JSON.stringify(line));
    await Deno.writeTextFile(path, text.join("\r\n"));
    return await loadPromptCompletions(
      JSONL_DATA.parse({ jsonl: "rows", ...options }),
      tokenizer,
      length,
      () => Promise.resolve([path]),
    );
  } finally {
    await Deno.remove(path);
  }
}

function rowsOf(dataset: RowExamples): string[] {
  return Array.from({ length: dataset.size }, (_, index) => {
    const { tokens, targets } = dataset.example(index);
    return `${tokens.join(" ")} | ${targets.join(" ")}`;
  });
}

Deno.test("loadPromptCompletions() learns the completion and EOS, and only these", async () => {
  const dataset = await load([
    { prompt: "!!", completion: '"#' },
    "",
    { prompt: "", completion: "!" },
    { text: '!"' },
  ]);
  assert.deepEqual(rowsOf(dataset), [
    "0 2 2 3 4 1 | 0 0 0 1 1 1",
    "0 2 1 | 0 1 1",
    "0 2 3 1 | 0 1 1 1",
  ]);
  assert.equal(dataset.tokens, 13);
  assert.equal(dataset.length, 8);
  assert.deepEqual(dataset.remarks, []);
  assert.throws(() => dataset.example(3), RangeError);
});

Deno.test("loadPromptCompletions() reads other fields, templates, and does without EOS", async () => {
  assert.deepEqual(
    rowsOf(
      await load([{ q: "!", a: '"' }], {
        prompt_field: "q",
        completion_field: "a",
        eos: false,
      }),
    ),
    ["0 2 3 | 0 0 1"],
  );
  assert.deepEqual(
    rowsOf(await load([{ q: "$&", r: "!", completion: '"' }], { template: "#{r}{r}{q}" })),
    ["0 4 2 2 5 7 3 1 | 0 0 0 0 0 0 1 1"],
  );
});

Deno.test("loadPromptCompletions() learns a token that joins prompt and completion", async () => {
  const merging = tokenizerOf(["ab ab ab"], 259); // "a b" is one token, 258
  assert.deepEqual(rowsOf(await load([{ prompt: "!a", completion: "b!" }], {}, merging)), [
    "0 2 258 2 1 | 0 0 1 1 1",
  ]);
});

Deno.test("loadPromptCompletions() cuts long rows at their end and says so", async () => {
  const dataset = await load(
    [{ prompt: "!!", completion: '"""' }, { prompt: "!", completion: "#" }],
    {},
    tokenizerOf(),
    5,
  );
  assert.deepEqual(rowsOf(dataset), ["0 2 2 3 3 | 0 0 0 1 1", "0 2 4 1 | 0 0 1 1"]);
  assert.equal(dataset.remarks.length, 1);
  assert.match(dataset.remarks[0] ?? "", /^1 of 2 rows were cut to 5 tokens \(.*\.jsonl:1\)$/);
  assert.match(dataset.place(1), /\.jsonl:2$/);
});

Deno.test("loadPromptCompletions() refuses or skips rows that have nothing to learn", async () => {
  const good = { prompt: "!", completion: "#" };
  const cases: [object | string, RegExp][] = [
    ["{", /not JSON/],
    ["[1]", /not a JSON object/],
    [{ prompt: "!", completion: "" }, /the completion is empty/],
    [{ prompt: "!" }, /no field "completion", only prompt/],
    [{ completion: "!" }, /no field "prompt"/],
    [{ prompt: 3, completion: "!" }, /"prompt" is 3; wanted a text/],
    [{ prompt: "!!!!!!!!", completion: "#" }, /prompt takes all 8 tokens/],
  ];
  for (const [row, message] of cases) {
    await assert.rejects(load([good, row]), (error) => {
      assert.ok(error instanceof UserError);
      assert.match(error.message, message);
      assert.match(error.message, /\.jsonl:2: .*on_bad_row: skip$/);
      return true;
    });
    const skipping = await load([row, good], { on_bad_row: "skip" });
    assert.deepEqual(rowsOf(skipping), ["0 2 4 1 | 0 0 1 1"]);
    assert.equal(skipping.remarks.length, 1);
    assert.match(skipping.remarks[0] ?? "", /^1 of 2 rows were skipped: .*\.jsonl:1\)$/);
    assert.match(skipping.remarks[0] ?? "", message);
    await assert.rejects(
      load([row], { on_bad_row: "skip" }),
      /rows has nothing to train on: all of its 1 rows were skipped/,
    );
  }
  await assert.rejects(load([]), /\.jsonl is empty: there is no row in it/);
});

Deno.test("loadPromptCompletions() needs an EOS to end completions with", async () => {
  const { tokenizer } = trainByteLevelBpe([], { vocabSize: 258 });
  const nameless = new Tokenizer(tokenizer, {});
  const rows = [{ prompt: "!", completion: "#" }];
  await assert.rejects(load(rows, {}, nameless), /names no eos_token; set eos: false/);
  assert.deepEqual(rowsOf(await load(rows, { eos: false }, nameless)), ["0 2 4 | 0 0 1"]);
});

Deno.test("TRAINING_DATA is text or JSON lines, not both", async () => {
  assert.equal(TRAINING_DATA.safeParse({ text: "a", jsonl: "b" }).success, false);
  assert.equal(TRAINING_DATA.safeParse({ jsonl: "b", template: "no field" }).success, false);
  const data = TRAINING_DATA.parse({ jsonl: "b" });
  await assert.rejects(
    loadDataset(data, tokenizerOf(), { length: 4 }, () => Promise.resolve([])),
    /b has nothing to train on/,
  );
});
