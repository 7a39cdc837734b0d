// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
import assert from "node:assert/strict";
import { join } from "node:path";
import { ReferenceDevice } from "../../kernels/reference/device.ts";
import { trainByteLevelBpe } from "../data/byte_level_bpe.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { parseConfig } from "../models/config.ts";
import { generate } from "../models/generate.ts";
import { type LanguageModel, loadLanguageModel } from "../models/language_model.ts";
import { RandomModel } from "../models/random_model.ts";
import { endTokens, generateTextPieces, generateTexts } from "./text_generation.ts";

const files = trainByteLevelBpe(["the cat sat on the mat; der Kater saß – «schön» — 猫"], {
  vocabSize: 290,
});
const tokenizer = new Tokenizer(files.tokenizer, files.config);

const PROMPTS = ["the cat", "sa", "on the"];
const SAMPLED = { maxNewTokens: 30, temperature: 1, seed: 4, readEvery: 3 };

async function load(): Promise<LanguageModel> {
  const config = parseConfig({
    hidden_size: 16,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: tokenizer.vocabSize,
    max_position_embeddings: 64,
  }, "test");
  return await loadLanguageModel(new ReferenceDevice(), new RandomModel(config, 1, 0.1));
}

Deno.test("texts are the decoded continuations of encoded prompts", async () => {
  const model = await load();
  const ids = PROMPTS.map((prompt) => tokenizer.encode(prompt));
  const expected = await generate(model, ids, SAMPLED);
  const found = await generateTexts(model, tokenizer, PROMPTS, SAMPLED);
  found.forEach(({ text, end }, index) => {
    assert.equal(text, tokenizer.decode(expected[index]!.tokens, { skipSpecialTokens: true }));
    assert.equal(end, "length");
  });
  assert.ok(found.some(({ text }) => text.includes("\uFFFD")), "random bytes are no characters");
});

Deno.test("pieces of text join to the whole, whatever is read at once", async () => {
  const model = await load();
  const expected = await generateTexts(model, tokenizer, PROMPTS, SAMPLED);
  for (const readEvery of [1, 2, 7]) {
    const texts = PROMPTS.map(() => "");
    const options = { ...SAMPLED, readEvery, stopTexts: ["never said", "nor this"] };
    for await (const { prompt, text } of generateTextPieces(model, tokenizer, PROMPTS, options)) {
      texts[prompt] += text;
    }
    assert.deepEqual(texts, expected.map(({ text }) => text));
  }
});

Deno.test("a stop text ends a continuation, also where it comes in pieces", async () => {
  const model = await load();
  const [whole] = await generateTexts(model, tokenizer, PROMPTS, SAMPLED);
  const stop = whole!.text.slice(6, 10);
  const cut = whole!.text.slice(0, whole!.text.indexOf(stop));
  for (const readEvery of [1, 2, 16]) {
    const options = { ...SAMPLED, readEvery, stopTexts: ["", "never said", stop] };
    const [found] = await generateTexts(model, tokenizer, PROMPTS.slice(0, 1), options);
    assert.deepEqual(found, { text: cut, end: "stop" });
    let streamed = "";
    const pieces = generateTextPieces(model, tokenizer, PROMPTS.slice(0, 1), options);
    for await (const { text } of pieces) streamed += text;
    assert.equal(streamed, cut);
  }
});

Deno.test("a stop token ends a continuation", async () => {
  const model = await load();
  const prompt = PROMPTS.slice(0, 1);
  const [whole] = await generate(model, prompt.map((text) => tokenizer.encode(text)), SAMPLED);
  const { tokens } = whole!;
  const stopTokens = [tokens[8]!];
  const [found] = await generateTexts(model, tokenizer, prompt, { ...SAMPLED, stopTokens });
  const kept = tokens.subarray(0, tokens.indexOf(stopTokens[0]!));
  assert.deepEqual(found, {
    text: tokenizer.decode(kept, { skipSpecialTokens: true }),
    end: "stop",
  });
});

Deno.test("endTokens() finds the ends that the files of a model name", async () => {
  const folder = await Deno.makeTempDir({ prefix: "equipoise-test-" });
  try {
    const eos = tokenizer.eosId!;
    assert.deepEqual(endTokens(folder, tokenizer), new Set([eos]));
    await Deno.writeTextFile(join(folder, "config.json"), '{ "eos_token_id": 7 }');
    await Deno.writeTextFile(join(folder, "generation_config.json"), '{ "eos_token_id": [7, 9] }');
    assert.deepEqual(endTokens(folder, tokenizer), new Set([7, 9, eos]));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
