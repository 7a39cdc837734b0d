import assert from "node:assert/strict";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { UserError } from "../errors.ts";
import { Tokenizer } from "./tokenizer.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";

/** A BPE without pre-tokenizer whose merges join words across some spaces. */
const WHOLE_TEXT_BPE = {
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: { type: "Fuse" },
  model: {
    type: "BPE",
    unk_token: "?",
    vocab: Object.fromEntries(
      ["?", "a", "b", "c", "_", "ab", "_a", "b_", "_ab", "ab_a", "cc", "__"].map((t, i) => [t, i]),
    ),
    merges: ["a b", "_ a", "b _", "_ ab", "ab _a", "c c", "_ _"],
  },
};

Deno.test("Tokenizer cuts a text where nothing joins, and finds the tokens of the whole text", () => {
  const cut = new Tokenizer(WHOLE_TEXT_BPE, {});
  const whole = new HuggingFaceTokenizer(WHOLE_TEXT_BPE, {});
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."aabbc__x\u{1f600}") }), (text) => {
      assert.deepEqual([...cut.encode(text)], whole.encode(text).ids);
    }),
    { seed: 2, numRuns: 500 },
  );
});

Deno.test("Tokenizer knows the special tokens that the configuration names", () => {
  const tokenizer = new Tokenizer(WHOLE_TEXT_BPE, {
    bos_token: "a",
    eos_token: { content: "_ab" },
    pad_token: null,
  });
  assert.deepEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.padId], [1, 8, null]);
  assert.equal(tokenizer.vocabSize, 12);
  assert.throws(
    () => new Tokenizer(WHOLE_TEXT_BPE, { eos_token: "<end>" }, "model/tokenizer.json"),
    /model\/tokenizer.json: .*eos_token "<end>".*not in the vocabulary/,
  );
});

Deno.test("Tokenizer spells what it does not know as the unknown token", () => {
  const tokenizer = new Tokenizer(WHOLE_TEXT_BPE, {});
  assert.deepEqual([...tokenizer.encode("axb")], [1, 0, 2]);
  assert.deepEqual([...tokenizer.encode("")], []);
  assert.equal(tokenizer.decode([]), "");
});

Deno.test("Tokenizer refuses a post-processor that adds tokens it lacks", () => {
  const single = [{ SpecialToken: { id: "<s>", type_id: 0 } }, {
    Sequence: { id: "A", type_id: 0 },
  }];
  const post_processor = { type: "TemplateProcessing", single };
  const tokenizer = new Tokenizer({
    ...WHOLE_TEXT_BPE,
    model: { ...WHOLE_TEXT_BPE.model, unk_token: null },
    post_processor,
  }, {});
  assert.throws(() => tokenizer.encode("a"), /token "<s>", which is not in its vocabulary/);
  assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens("a")], [1]);
});

Deno.test("Tokenizer.open() refuses missing and broken files", async () => {
  const folder = await Deno.makeTempDir();
  const write = (name: string, text: string) => Deno.writeTextFileSync(join(folder, name), text);
  const refuses = (message: RegExp) =>
    assert.throws(
      () => Tokenizer.open(folder),
      (error) => error instanceof UserError && message.test(error.message),
    );
  try {
    refuses(
      /there is no tokenizer \(looked for tokenizer.json, tokenizer.model, .*vocab.json with merges.txt/,
    );
    write("tokenizer.json", "{");
    refuses(/tokenizer.json: not JSON/);
    write("tokenizer.json", "[]");
    refuses(/wanted a JSON object/);
    write("tokenizer.json", "{}");
    refuses(/not a usable tokenizer.json/);
    write("tokenizer.json", JSON.stringify({ ...WHOLE_TEXT_BPE, model: { type: "Fancy" } }));
    refuses(/not a usable tokenizer.json/);
    write("tokenizer.json", JSON.stringify(WHOLE_TEXT_BPE));
    assert.equal(Tokenizer.open(folder).bosId, null);
    write("tokenizer_config.json", "nothing");
    refuses(/tokenizer_config.json: not JSON/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

testUnless(
  NO_TEST_DATA,
  "Tokenizer spells a trained model's prompt as its reference runtimes do",
  () => {
    const tokenizer = Tokenizer.open(join(TEST_DATA, "models/tinystories-656k"));
    const ids = tokenizer.encode("Once upon a time");
    assert.deepEqual([...ids], [1, 80, 147, 201, 282, 57]);
    assert.deepEqual(
      [...tokenizer.encodeWithoutSpecialTokens("Once upon a time")],
      [80, 147, 201, 282, 57],
    );
    assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "Once upon a time");
    assert.deepEqual(
      [tokenizer.bosId, tokenizer.eosId, tokenizer.padId, tokenizer.vocabSize],
      [1, 2, 0, 2048],
    );
  },
);
