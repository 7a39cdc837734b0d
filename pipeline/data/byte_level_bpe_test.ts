import assert from "node:assert/strict";
import { join } from "node:path";
import fc from "fast-check";
import { trainByteLevelBpe } from "./byte_level_bpe.ts";
import { Tokenizer } from "./tokenizer.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../tests/support/optional.ts";

function mergesOf(texts: string[], merges: number): string[] {
  const { tokenizer } = trainByteLevelBpe(texts, { vocabSize: 258 + merges });
  return (tokenizer as { model: { merges: string[] } }).model.merges;
}

/** The definition: recount every pair of every occurrence of every word after every merge. */
function mergesByDefinition(texts: string[], merges: number): string[] {
  let words = texts.flatMap((text) => text.match(/ ?[a-z]+/g) ?? [])
    .map((word) => Array.from(word.replace(" ", "Ġ")));
  const found: string[] = [];
  while (found.length < merges) {
    const counts: Record<string, number> = {};
    for (const word of words) {
      for (let i = 1; i < word.length; i++) {
        const pair = `${word[i - 1]} ${word[i]}`;
        counts[pair] = (counts[pair] ?? 0) + 1;
      }
    }
    const [best] = Object.entries(counts).filter(([, count]) => count > 1).sort(
      ([a, countA], [b, countB]) => {
        const [[a1 = "", a2 = ""], [b1 = "", b2 = ""]] = [a.split(" "), b.split(" ")];
        return countB - countA || (a1 < b1 ? -1 : a1 > b1 ? 1 : a2 < b2 ? -1 : 1);
      },
    );
    if (best === undefined) break;
    found.push(best[0]);
    words = words.map((word) => {
      const merged: string[] = [];
      while (word.length > 0) {
        const [left = "", right] = word;
        const joins = `${left} ${right}` === best[0];
        merged.push(joins ? left + right : left);
        word = word.slice(joins ? 2 : 1);
      }
      return merged;
    });
  }
  return found;
}

Deno.test("trainByteLevelBpe() finds the merges of a corpus counted by hand", () => {
  // "low" 3 times: l o = 3, o w = 3; ties go to the first in order: "l" < "o".
  assert.deepEqual(mergesOf(["low lower lowest"], 3), ["l o", "lo w", "low e"]);
  // "aaa" holds the pair "a a" twice, merged from the left.
  assert.deepEqual(mergesOf(["aaa"], 3), ["a a"]);
  assert.deepEqual(mergesOf([], 3), []);
});

Deno.test("trainByteLevelBpe() merges what the definition merges", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 12 });
  const text = fc.array(word, { maxLength: 8 }).map((words) => words.join(" "));
  fc.assert(
    fc.property(fc.array(text, { maxLength: 4 }), (texts) => {
      assert.deepEqual(mergesOf(texts, 12), mergesByDefinition(texts, 12));
    }),
    { seed: 5, numRuns: 200 },
  );
});

Deno.test("trainByteLevelBpe() makes a tokenizer that spells any text", () => {
  const { tokenizer, config } = trainByteLevelBpe(["the cat and the hat that sat"], {
    vocabSize: 270,
  });
  const trained = new Tokenizer(tokenizer, config);
  assert.deepEqual([trained.bosId, trained.eosId, trained.padId], [0, 1, 1]);
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), (text) => {
      const ids = trained.encode(text.toWellFormed());
      assert.equal(ids[0], 0);
      assert.equal(trained.decode(ids.subarray(1)), text.toWellFormed());
      assert.ok(ids.every((id) => id < trained.vocabSize));
    }),
    { seed: 5, numRuns: 200 },
  );
});

Deno.test("trainByteLevelBpe() numbers tokens and applies merges in order", () => {
  const { tokenizer, config } = trainByteLevelBpe(["the cat the hat the"], { vocabSize: 261 });
  const { model } = tokenizer as {
    model: { vocab: Record<string, number>; merges: string[] };
  };
  assert.deepEqual(model.merges, ["h e", "t he", "a t"]);
  const ids = Object.values(model.vocab).sort((a, b) => a - b);
  assert.deepEqual(ids, Array.from({ length: 261 }, (_, id) => id));
  assert.equal(model.vocab["!"], 2);
  const trained = new Tokenizer(tokenizer, config);
  assert.equal(trained.encodeWithoutSpecialTokens("the").length, 1);
});

Deno.test("trainByteLevelBpe() refuses a vocabulary smaller than the bytes", () => {
  assert.throws(() => trainByteLevelBpe([], { vocabSize: 257 }), /257 tokens.*take 258/);
});

testUnless(
  NO_TEST_DATA,
  "the form of its tokenizer.json spells GPT-2's vocabulary as llama.cpp does",
  () => {
    const folder = TEST_DATA;
    const { tokenizer } = trainByteLevelBpe([], { vocabSize: 258, eosToken: "<|endoftext|>" });
    const read = (path: string) => Deno.readTextFileSync(join(folder, path));
    const vocab: Record<string, number> = JSON.parse(read("tokenizers/gpt2/encoder.json"));
    const merges = read("tokenizers/gpt2/vocab.bpe").trimEnd().split("\n").slice(1);
    const model = { ...(tokenizer as { model: object }).model, vocab, merges };
    const gpt2 = new Tokenizer({ ...tokenizer, added_tokens: [], model }, {});
    const vectors = "vectors/llama.cpp-tokenizer/ggml-vocab-gpt-2.gguf";
    const texts = read(`${vectors}.inp`).split("\n__ggml_vocab_test__\n");
    const wanted = read(`${vectors}.out`).split("\n");
    for (const [index, text] of texts.entries()) {
      assert.equal(gpt2.encodeWithoutSpecialTokens(text).join(" "), wanted[index]?.trim(), text);
    }
  },
);
