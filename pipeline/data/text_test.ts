import assert from "node:assert/strict";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import { trainByteLevelBpe } from "./byte_level_bpe.ts";
import { loadDataset } from "./load_dataset.ts";
import { readDocuments, TEXT_DATA, tokenizeDocuments } from "./text.ts";
import { concatenate } from "./text_windows.ts";
import { Tokenizer } from "./tokenizer.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";

/** Bytes only: ids are easy to say. BOS is 0, EOS 1. */
function byteTokenizer(config: object = {}): Tokenizer {
  const files = trainByteLevelBpe([], { vocabSize: 258 });
  return new Tokenizer(files.tokenizer, { ...files.config, ...config });
}

async function withFiles(
  files: Record<string, string | Uint8Array>,
  use: (resolve: (reference: string) => Promise<string[]>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const [name, content] of Object.entries(files)) {
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      await Deno.writeFile(join(folder, name), bytes);
    }
    await use((reference) =>
      Promise.resolve(reference.split("+").map((name) => join(folder, name)))
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("TEXT_DATA has defaults and refuses what is wrong", () => {
  assert.deepEqual(TEXT_DATA.parse({ text: "a" }), {
    text: "a",
    documents: "whole",
    eos: false,
    format: "plain",
  });
  for (const documents of ["whole", "lines", "\\n\\n", { split: "chapter" }, "^= "]) {
    assert.deepEqual(TEXT_DATA.parse({ text: ["a"], documents }).documents, documents);
  }
  const wrong = [{}, { text: "" }, { text: [] }, { text: "a", tekst: "b" }];
  for (const documents of ["line", "(", "", { split: "[" }, { splitt: "," }, 3]) {
    wrong.push({ text: "a", documents } as { text: string });
  }
  for (const data of wrong) {
    assert.equal(TEXT_DATA.safeParse(data).success, false, JSON.stringify(data));
  }
});

Deno.test("readDocuments() splits files into whole files, lines or parts", () =>
  withFiles({
    one: "\ufeffa b\r\n\r\n  \nc\n= x =\nd",
    two: "e\n",
    empty: " \n",
  }, async (resolve) => {
    const read = (documents?: string | { split: string }) =>
      readDocuments(TEXT_DATA.parse({ text: ["one+empty", "two"], documents }), resolve);
    assert.deepEqual(await read(), ["a b\r\n\r\n  \nc\n= x =\nd", "e\n"]);
    assert.deepEqual(await read("lines"), ["a b", "c", "= x =", "d", "e"]);
    assert.deepEqual(await read("^= (.*) =$"), ["a b\r\n\r\n  \nc\n", "\nd", "e\n"]);
    assert.deepEqual(await read({ split: "x" }), ["a b\r\n\r\n  \nc\n= ", " =\nd", "e\n"]);
    assert.deepEqual(await read("(?=^= )"), ["a b\r\n\r\n  \nc\n", "= x =\nd", "e\n"]);
  }));

Deno.test("readDocuments() reads word/tag files as text", () =>
  withFiles(
    { tagged: "\tThe/at cat/nn sat/vbd ./.\n\n\n\tIt/pps slept/vbd ./." },
    async (resolve) => {
      const data = TEXT_DATA.parse({ text: "tagged", format: "word_tag", documents: "lines" });
      assert.deepEqual(await readDocuments(data, resolve), ["The cat sat.", "It slept."]);
    },
  ));

Deno.test("readDocuments() reads a column of tables, and no more than it needs", () =>
  withFiles({
    "rows.jsonl": '{"text":"one","body":"A"}\n{"text":"  ","body":"B"}\n{"text":"two\\nthree"}\n',
    "more.csv": "text\nfour\n",
    "late.jsonl": '{"text":"five"}\nno row\n',
  }, async (resolve) => {
    const read = (data: object) =>
      readDocuments(TEXT_DATA.parse({ format: "table", ...data }), resolve);
    assert.deepEqual(await read({ text: "rows.jsonl+more.csv" }), ["one", "two\nthree", "four"]);
    assert.deepEqual(await read({ text: "rows.jsonl", documents: "lines", limit: 2 }), [
      "one",
      "two",
    ]);
    assert.deepEqual(await read({ text: "late.jsonl", limit: 1 }), ["five"]);
    await assert.rejects(
      read({ text: "rows.jsonl", column: "body" }),
      /rows\.jsonl:3: the column "body" is missing; wanted a text, in one of text$/,
    );
    assert.equal(TEXT_DATA.safeParse({ text: "a", column: "body" }).success, false);
  }));

Deno.test("readDocuments() refuses data without text and files it cannot read", () =>
  withFiles({ empty: "", blank: " \n\t\n", latin: Uint8Array.of(0x61, 0xe9) }, async (resolve) => {
    const refuses = (text: string, message: RegExp) =>
      assert.rejects(
        readDocuments(TEXT_DATA.parse({ text }), resolve),
        (error) => error instanceof UserError && message.test(error.message),
      );
    await refuses("empty+blank", /The text data empty\+blank is empty/);
    await refuses("latin", /latin: not UTF-8/);
    await refuses("lost", /Cannot read .*lost/);
    await refuses(".", /is a folder; name its files/);
  }));

Deno.test("tokenizeDocuments() begins each document with BOS and ends it with EOS if asked", () =>
  withFiles({ text: '!\n"!' }, async (resolve) => {
    const tokenize = async (data: object) => {
      const parsed = TEXT_DATA.parse({ text: "text", documents: "lines", ...data });
      const documents = await tokenizeDocuments(parsed, byteTokenizer(), resolve);
      return documents.map((ids) => [...ids]);
    };
    // "!" and '"' are the first two of the 256 byte characters, after BOS and EOS.
    assert.deepEqual(await tokenize({}), [[0, 2], [0, 3, 2]]);
    assert.deepEqual(await tokenize({ eos: true }), [[0, 2, 1], [0, 3, 2, 1]]);
    await assert.rejects(
      tokenizeDocuments(
        TEXT_DATA.parse({ text: "text", eos: true }),
        byteTokenizer({ eos_token: null }),
        resolve,
      ),
      /names no eos_token/,
    );
  }));

Deno.test("loadDataset() cuts the joined documents into windows", () =>
  withFiles({ text: '!!\n"\n!' }, async (resolve) => {
    const data = TEXT_DATA.parse({ text: "text", documents: "lines", eos: true });
    const dataset = await loadDataset(data, byteTokenizer(), { length: 4 }, resolve);
    assert.equal(dataset.size, 2); // 0 2 2 1 | 0 3 1 0 | 2 1
    assert.deepEqual([...dataset.example(1).tokens], [0, 3, 1, 0]);
    assert.deepEqual([...dataset.example(1).targets], [0, 1, 1, 1]);
    await assert.rejects(
      loadDataset(data, byteTokenizer(), { length: 11 }, resolve),
      /text has 10 tokens, less than one window of 11/,
    );
  }));

testUnless(
  NO_TEST_DATA,
  "tokenizeDocuments() gives a trained model's story text the documents it was made of",
  async () => {
    const folder = join(TEST_DATA, "text/tinystories");
    const paths = [...Deno.readDirSync(folder)].map(({ name }) => join(folder, name)).sort();
    const tokenizer = Tokenizer.open(join(TEST_DATA, "models/tinystories-656k"));
    const data = TEXT_DATA.parse({ text: "stories", documents: "(?<!\\n)\\n(?!\\n)", eos: true });
    const documents = await tokenizeDocuments(data, tokenizer, () => Promise.resolve(paths));
    assert.equal(documents.length, 1097); // the data's own README
    assert.ok(documents.every((ids) => ids[0] === 1 && ids.at(-1) === 2));
    const total = documents.reduce((sum, { length }) => sum + length, 0);
    assert.equal(concatenate(documents).length, total);
  },
);
