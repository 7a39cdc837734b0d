import assert from "node:assert/strict";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { trainByteLevelBpe } from "../byte_level_bpe.ts";
import { BadRow } from "../importers/bad_row.ts";
import { importerFor } from "../importers/registry.ts";
import { loadDataset } from "../load_dataset.ts";
import { readTable } from "../tables/read_table.ts";
import { Tokenizer } from "../tokenizer.ts";
import { markSample } from "./mark_sample.ts";
import type { RowExamples } from "./row_examples.ts";
import { ROWS_DATA } from "./rows_data.ts";

testUnless(NO_TEST_DATA, "loadDataset() reads every row of real instruction data", async () => {
  // Rows, those with an empty output, and what the first begins with.
  const files: [string, number, number, RegExp][] = [
    ["instruct/alpaca-2000.json", 2000, 0, /completes the request\.\n\n### Instruction:/],
    ["instruct/seed_tasks.jsonl", 175, 0, /completes the request\.\n\n### Instruction:/],
    ["instruct/math-data.json", 3260, 3, /### Instruction:\n +/],
  ];
  // A vocabulary that tells bytes apart is enough to see them again.
  const { tokenizer: bytes, config } = trainByteLevelBpe([], { vocabSize: 258 });
  const tokenizer = new Tokenizer(bytes, config);
  const chat = () => assert.fail("instructions need no chat template");
  for (const [name, rows, empty, prompt] of files) {
    let [made, bad] = [0, 0];
    for await (const { fields } of readTable(`${TEST_DATA}/${name}`)) {
      const importer = importerFor("auto", Object.keys(fields));
      const instructions = importer.template ?? "";
      const marking = { template: undefined, learn: "completions", instructions, chat } as const;
      for (const sample of importer.samples(fields)) {
        try {
          assert.match(markSample(sample, marking).halves?.prompt ?? "", prompt);
          made++;
        } catch (error) {
          if (!(error instanceof BadRow)) throw error;
          bad++;
        }
      }
    }
    assert.deepEqual([made, bad], [rows - empty, empty], name);
    const dataset = await loadDataset(
      ROWS_DATA.parse({ rows: name, limit: 50 }),
      tokenizer,
      { length: 20_000 },
      (reference) => Promise.resolve([`${TEST_DATA}/${reference}`]),
    ) as RowExamples;
    assert.equal(dataset.size, 50);
    for (let index = 0; index < dataset.size; index++) {
      const { tokens, targets } = dataset.example(index);
      assert.equal(tokens.at(-1), tokenizer.eosId);
      assert.equal(targets.at(-1), 1);
    }
  }
});

testUnless(NO_TEST_DATA, "loadDataset() learns Llama 3's turns, token by token", async () => {
  const folder = `${TEST_DATA}/tokenizers/llama3`;
  const tokenizer = Tokenizer.open(folder);
  const replies = ["Hi", "\n\nOne\ntwo", "1", "né 🙂🙂", "  \tdone:", "<|eot|>", "…"];
  const messages = replies.flatMap((content, index) => [
    { role: "user", content: `${index}` },
    { role: "assistant", content },
  ]);
  const path = await Deno.makeTempFile({ suffix: ".jsonl" });
  try {
    await Deno.writeTextFile(path, JSON.stringify({ messages }));
    for (const learn of ["completions", "last"]) {
      const dataset = await loadDataset(
        ROWS_DATA.parse({ rows: path, learn }),
        tokenizer,
        { length: 512, folder },
        () => Promise.resolve([path]),
      );
      const { tokens, targets } = dataset.example(0);
      assert.deepEqual(
        [...tokens],
        [...tokenizer.encodeWithoutSpecialTokens(tokenizer.decode(tokens))],
      );
      const runs: number[][] = [];
      tokens.forEach((id, index) => {
        if (targets[index] !== 1) return;
        if (targets[index - 1] !== 1) runs.push([]);
        runs.at(-1)?.push(id);
      });
      // Llama 3's template takes white space off; 128009 is the end of a turn.
      const expected = (learn === "last" ? replies.slice(-1) : replies).map((reply) => [
        ...tokenizer.encodeWithoutSpecialTokens(reply.trim()),
        128_009,
      ]);
      assert.deepEqual(runs, expected);
    }
  } finally {
    await Deno.remove(path);
  }
});
