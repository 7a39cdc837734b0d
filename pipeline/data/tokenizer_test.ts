import assert from "node:assert/strict";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import fc from "fast-check";
import { UserError } from "../errors.ts";
import { trainByteLevelBpe } from "./byte_level_bpe.ts";
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

Deno.test("Tokenizer refuses, with its name, what a vocabulary without unknown token cannot spell", () => {
  const model = { ...WHOLE_TEXT_BPE.model, unk_token: null };
  const tokenizer = new Tokenizer({ ...WHOLE_TEXT_BPE, model }, {}, "m/tokenizer.json");
  assert.throws(
    () => tokenizer.encode("ab\u{1f600}"),
    (error) =>
      error instanceof UserError &&
      /^m\/tokenizer.json: the vocabulary cannot spell "\u{1f600}" and has no unk/u.test(
        error.message,
      ),
  );
  assert.equal(tokenizer.unknownId, null);
});

Deno.test("Tokenizer counts unknown tokens", () => {
  const tokenizer = new Tokenizer(WHOLE_TEXT_BPE, {});
  assert.equal(tokenizer.unknownCount, 0);
  tokenizer.encode("axbx");
  tokenizer.encodeWithoutSpecialTokens("x");
  assert.deepEqual([tokenizer.unknownId, tokenizer.unknownCount], [0, 3]);
});

/** BOS before and EOS after every text. */
const SURROUNDED = {
  ...WHOLE_TEXT_BPE,
  added_tokens: [
    { id: 12, content: "<s>", special: true },
    { id: 13, content: "</s>", special: true },
  ],
  post_processor: {
    type: "TemplateProcessing",
    single: [
      { SpecialToken: { id: "<s>" } },
      { Sequence: { id: "A" } },
      { SpecialToken: { id: "</s>" } },
    ],
    special_tokens: { "<s>": { ids: [12] }, "</s>": { ids: [13] } },
  },
};
const ROLES = { bos_token: "<s>", eos_token: "</s>" };

Deno.test("Tokenizer puts BOS before texts as its files say, or as it is asked", () => {
  const tokenizer = new Tokenizer(SURROUNDED, ROLES);
  assert.equal(tokenizer.addsBos, true);
  assert.deepEqual([...tokenizer.encode("ab")], [12, 5, 13]);
  assert.deepEqual([...tokenizer.encode("ab", { addBos: false })], [5]);
  assert.deepEqual([...tokenizer.encode("ab", { addBos: true })], [12, 5]);
  const bare = new Tokenizer({ ...SURROUNDED, post_processor: null }, ROLES);
  assert.equal(bare.addsBos, false);
  assert.deepEqual([...bare.encode("ab", { addBos: true })], [12, 5]);
  assert.throws(
    () => new Tokenizer(WHOLE_TEXT_BPE).encode("ab", { addBos: true }),
    /begin with BOS, but the folder names none/,
  );
});

Deno.test("Tokenizer follows the class of LLaMA's tokenizer where it overrules the file", () => {
  const encode = (
    config: object,
  ) => [...new Tokenizer(SURROUNDED, { ...ROLES, tokenizer_class: "LlamaTokenizer", ...config })
    .encode("ab")];
  assert.deepEqual(encode({}), [12, 5]);
  assert.deepEqual(encode({ add_bos_token: false, add_eos_token: true }), [5, 13]);
  assert.deepEqual(encode({ tokenizer_class: "PreTrainedTokenizerFast" }), [12, 5, 13]);
});

Deno.test("Tokenizer finds special tokens within texts, and leaves them out of texts if asked", () => {
  const tokenizer = new Tokenizer(SURROUNDED, ROLES);
  const ids = tokenizer.encodeWithoutSpecialTokens("ab</s><s>a");
  assert.deepEqual([...ids], [5, 13, 12, 1]);
  assert.equal(tokenizer.decode(ids), "ab</s><s>a");
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "aba");
});

Deno.test("Tokenizer looks for added words in normalized texts, and for special tokens in others", () => {
  const added_tokens = [{ id: 12, content: "X" }, { id: 13, content: "Y", special: true }];
  const normalizer = { type: "Lowercase" };
  const tokenizer = new Tokenizer({ ...WHOLE_TEXT_BPE, added_tokens, normalizer });
  assert.deepEqual([...tokenizer.encode("xXAYy")], [12, 12, 1, 13, 0]);
});

Deno.test("Tokenizer of bytes spells any text, however long, and gives it back", () => {
  const files = trainByteLevelBpe(["low lower lowest newest"], { vocabSize: 270 });
  const tokenizer = new Tokenizer(files.tokenizer, files.config);
  const roundTrip = (text: string) =>
    tokenizer.decode(tokenizer.encode(text), { skipSpecialTokens: true });
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      assert.equal(roundTrip(text), text.toWellFormed());
    }),
    { seed: 3, numRuns: 300 },
  );
  for (const text of ["low", " ", "\u4e2d", "\u{1f999}\ufeff"]) {
    const long = text.repeat(200_000 / text.length);
    assert.equal(roundTrip(long), long);
  }
  assert.equal(roundTrip("a\ud800b"), "a\ufffdb");
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
    refuses(/not a usable tokenizer/);
    write("tokenizer.json", JSON.stringify({ ...WHOLE_TEXT_BPE, model: { type: "Fancy" } }));
    refuses(/not a usable tokenizer/);
    write("tokenizer.json", JSON.stringify(WHOLE_TEXT_BPE));
    assert.equal(Tokenizer.open(folder).bosId, null);
    write("tokenizer_config.json", '{"added_tokens_decoder": {"20": {"content": "<pad>"}}}');
    assert.deepEqual([...Tokenizer.open(folder).encode("a<pad>")], [1, 20]);
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
