/**
 * Token ids against those that llama.cpp expects of itself (`test-tokenizer-0`), for all cases of its
 * Llama 3, GPT-2 and LLaMA 2 vocabularies. It tokenizes without BOS there; LLaMA 2's texts begin with
 * the space that SentencePiece puts before them, and a text without a character has no token.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../tests/support/optional.ts";
import { Tokenizer } from "../tokenizer.ts";
import { CHARACTER_BYTES } from "./byte_characters.ts";
import { openLlama2 } from "./testing/llama2_pieces.ts";

/** Cases of every vocabulary. */
const CASES = 46;

const SEPARATOR = "\n__ggml_vocab_test__\n";

testUnless(NO_TEST_DATA, "Llama 3: all 46 cases of llama.cpp, from tokenizer.json", () => {
  const tokenizer = Tokenizer.open(join(TEST_DATA, "tokenizers/llama3"));
  // Its configuration wants spaces before marks to be taken away from decoded texts.
  compare(tokenizer, "llama-bpe", (text) => text.replace(/ ([.?!,])/g, "$1"));
  assert.deepEqual([tokenizer.bosId, tokenizer.eosId], [128_000, 128_001]);
});

testUnless(NO_TEST_DATA, "Llama 3: all 46 cases of llama.cpp, from a tiktoken file", async () => {
  const path = join(TEST_DATA, "tokenizers/llama3/tokenizer.json");
  const { model, added_tokens } = JSON.parse(await Deno.readTextFile(path));
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(folder, "original"));
    const lines = Object.entries<number>(model.vocab).sort(([, one], [, other]) => one - other)
      .map(([token, rank]) => {
        const bytes = Uint8Array.from(token, (character) => CHARACTER_BYTES.get(character) ?? NaN);
        return `${bytes.toBase64()} ${rank}\n`;
      });
    await Deno.writeTextFile(join(folder, "original/tokenizer.model"), lines.join(""));
    const tokenizer = Tokenizer.open(folder);
    compare(tokenizer, "llama-bpe");
    assert.deepEqual([tokenizer.bosId, tokenizer.eosId], [128_000, 128_001]);
    assert.equal(tokenizer.encode("a")[0], 128_000);
    // What the official files call their special tokens is what the table here calls them.
    for (const { id, content } of added_tokens) {
      assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens(content)], [id], content);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

testUnless(
  NO_TEST_DATA,
  "GPT-2: all 46 cases of llama.cpp, from vocabulary and merges",
  async () => {
    compare(Tokenizer.open(join(TEST_DATA, "tokenizers/gpt2")), "gpt-2");
    const folder = await Deno.makeTempDir();
    try {
      const copy = (from: string, to: string) =>
        Deno.copyFile(join(TEST_DATA, "tokenizers/gpt2", from), join(folder, to));
      await copy("encoder.json", "vocab.json");
      await copy("vocab.bpe", "merges.txt");
      const tokenizer = Tokenizer.open(folder);
      compare(tokenizer, "gpt-2");
      assert.deepEqual([tokenizer.bosId, tokenizer.eosId], [50_256, 50_256]);
      assert.equal(tokenizer.addsBos, false);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

testUnless(
  NO_TEST_DATA,
  "LLaMA 2: all 46 cases of llama.cpp, from a SentencePiece model",
  async () => {
    const tokenizer = await openLlama2(TEST_DATA);
    compare(tokenizer, "llama-spm");
    assert.deepEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.vocabSize], [1, 2, 32_000]);
    assert.equal(tokenizer.addsBos, true);
  },
);

function compare(
  tokenizer: Tokenizer,
  vocabulary: string,
  decoded = (text: string) => text,
): void {
  const path = join(TEST_DATA, `vectors/llama.cpp-tokenizer/ggml-vocab-${vocabulary}.gguf`);
  // Both files end with the mark that ends a case.
  const texts = Deno.readTextFileSync(`${path}.inp`).split(SEPARATOR).slice(0, -1);
  const wanted = Deno.readTextFileSync(`${path}.out`).split("\n").slice(0, -1);
  assert.equal(wanted.length, texts.length);
  let equal = 0;
  for (const [index, text] of texts.entries()) {
    const ids = tokenizer.encodeWithoutSpecialTokens(text);
    assert.equal(ids.join(" "), wanted[index]?.trim(), JSON.stringify(text));
    if (text !== "") assert.equal(tokenizer.decode(ids), decoded(text));
    equal++;
  }
  console.log(`${vocabulary}: ${equal} of ${texts.length} cases are equal`);
  assert.equal(equal, CASES);
}
