// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { trainByteLevelBpe } from "../../data/byte_level_bpe.ts";
import { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { type BosPolicy, RequestTokenizer, truncateLeft } from "./request_tokenizer.ts";

/** Its post-processor adds BOS. */
const files = trainByteLevelBpe(["the cat sat on the mat, the cat sat"], { vocabSize: 280 });
const tokenizer = new Tokenizer(files.tokenizer, files.config);
const plain = (text: string) => [...tokenizer.encodeWithoutSpecialTokens(text)];

function pair(
  context: string,
  continuation: string,
  bos?: BosPolicy,
  of: Tokenizer = tokenizer,
): [number[], number[]] {
  const encoded = new RequestTokenizer(of, bos).encodePair(context, continuation);
  return [[...encoded.context], [...encoded.continuation]];
}

Deno.test("a continuation begins where the context alone would end", () => {
  const bos = tokenizer.bosId!;
  assert.deepEqual(pair("the cat", " sat"), [[bos, ...plain("the cat")], plain(" sat")]);
  assert.deepEqual(pair("the cat", " sat", "none"), [plain("the cat"), plain(" sat")]);
  assert.deepEqual(pair("the cat", " sat", "always"), pair("the cat", " sat"));
});

Deno.test("spaces at the end of a context move to the continuation, as Python strips them", () => {
  assert.deepEqual(pair("the cat ", "sat"), pair("the cat", " sat"));
  assert.deepEqual(pair("the cat \n", "sat"), pair("the cat", " \nsat"));
  // U+0085 and U+001F are white space in Python only, U+FEFF in JavaScript only.
  assert.deepEqual(pair("the cat\u0085\u001f", "sat"), pair("the cat", "\u0085\u001fsat"));
  const [context] = pair("the cat\ufeff", "sat", "none");
  assert.deepEqual(context, plain("the cat\ufeff"));
});

Deno.test("without a context, the prefix token stands before the continuation", () => {
  const bos = tokenizer.bosId!;
  for (const policy of ["tokenizer", "none", "always"] as const) {
    assert.deepEqual(pair("", "the cat", policy), [[bos], plain("the cat")]);
  }
  const text = tokenizer.decode([bos]);
  assert.deepEqual(pair("", `${text}the cat`), [[bos], plain("the cat")]);
  // Only spaces: what the policy adds is the context, or else the prefix token.
  assert.deepEqual(pair(" ", "the", "tokenizer"), [[bos], plain(" the")]);
  assert.deepEqual(pair(" ", "the", "none"), [[bos], plain(" the")]);
});

Deno.test("a text that spells out BOS gets no second one", () => {
  const bos = tokenizer.bosId!;
  const text = tokenizer.decode([bos]);
  for (const policy of ["tokenizer", "none", "always"] as const) {
    const [context] = pair(`${text}the cat`, " sat", policy);
    assert.deepEqual(context, [bos, ...plain("the cat")], policy);
  }
});

Deno.test("EOS stands for a missing BOS, and is never left at the end of a context", () => {
  const { bos_token: _, ...config } = files.config as Record<string, unknown>;
  const eosOnly = new Tokenizer(files.tokenizer, config);
  assert.equal(eosOnly.bosId, null);
  assert.deepEqual(pair("", "the cat", "none", eosOnly), [[eosOnly.eosId], plain("the cat")]);
  assert.throws(() => new RequestTokenizer(eosOnly, "always"), UserError);
  const { eos_token: __, ...nothing } = config;
  const neither = new RequestTokenizer(new Tokenizer(files.tokenizer, nothing));
  assert.throws(() => neither.encodePair("", "the cat"), /neither bos_token nor eos_token/);
  const both = structuredClone(files.tokenizer) as {
    post_processor: { single: object[]; special_tokens: Record<string, object> };
  };
  const eos = tokenizer.decode([tokenizer.eosId!]);
  both.post_processor.single.push({ SpecialToken: { id: eos, type_id: 0 } });
  both.post_processor.special_tokens[eos] = { id: eos, ids: [tokenizer.eosId], tokens: [eos] };
  const ending = new Tokenizer(both, files.config);
  assert.equal(ending.encode("the cat").at(-1), tokenizer.eosId);
  assert.deepEqual(pair("the cat", " sat", "tokenizer", ending), pair("the cat", " sat"));
});

Deno.test("the left of a long context is cut", () => {
  const ids = (...tokens: number[]) => Uint32Array.from(tokens);
  // (context + continuation)[-(max + 1):], whose last token is only predicted.
  assert.deepEqual(truncateLeft({ context: ids(1, 2, 3, 4), continuation: ids(5, 6) }, 3), {
    context: ids(3, 4),
    continuation: ids(5, 6),
    truncated: 2,
  });
  const whole = { context: ids(1, 2), continuation: ids(3, 4) };
  assert.deepEqual(truncateLeft(whole, 3), { ...whole, truncated: 0 });
  assert.deepEqual(truncateLeft(whole, 2).context, ids(2));
  assert.throws(() => truncateLeft(whole, 1), RangeError);
});

/**
 * Boundaries by ids that others give. Llama 3: `vectors/llama.cpp-tokenizer` has "Hello world" as 9906
 * 1917 and " Hello" as 22691; " A" to " D" are the letters of MMLU. tinystories-656k: "Once upon a time"
 * is `[1, 80, 147, 201, 282, 57]` in NumPy and llama.cpp; " a time" is one token there, which crosses
 * words.
 */
const BOUNDARIES: Readonly<Record<string, readonly [string, string, string][]>> = {
  "tokenizers/llama3": [
    ["Hello", " world", "9906 | 1917"],
    ["Hello ", "world", "9906 | 1917"],
    ["Hello  ", "world", "9906 | 220,1917"],
    // Divided by length: "Hel" alone is one token.
    ["Hel", "lo world", "33813 | 1917"],
    ["Answer:", " A", "16533,25 | 362"],
    ["Answer:", " B", "16533,25 | 426"],
    ["Answer:", " C", "16533,25 | 356"],
    ["Answer:", " D", "16533,25 | 423"],
    ["", "Hello", "128000 | 9906"],
  ],
  "models/tinystories-656k": [
    ["", "Once upon a time", "1 | 80,147,201,282,57"],
    // "Once" alone is one token more than in the whole text.
    ["Once", " upon a time", "1,80,147,682 | 282,57"],
    ["Answer:", " A", "1,80,708,570,91,21 | 26"],
    ["Answer:", " D", "1,80,708,570,91,21 | 29"],
    // "Once upon" alone has as many tokens as the whole text: nothing is left.
    ["Once upon", " a time", "1,80,147,201,189,111 | "],
  ],
};

for (const [folder, cases] of Object.entries(BOUNDARIES)) {
  testUnless(NO_TEST_DATA, `token boundaries of ${folder}`, () => {
    const real = Tokenizer.open(join(TEST_DATA, folder));
    for (const [context, continuation, expected] of cases) {
      const [before, after] = pair(context, continuation, "tokenizer", real);
      assert.equal(`${before} | ${after}`, expected, JSON.stringify([context, continuation]));
    }
  });
}
