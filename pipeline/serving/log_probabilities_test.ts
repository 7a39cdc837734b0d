import assert from "node:assert/strict";
import { Tokenizer } from "../data/tokenizer.ts";
import { logProbabilities } from "./log_probabilities.ts";
import { TokenTexts } from "./token_texts.ts";

/** A vocabulary of SentencePiece's kind, which writes a space as "▁" and takes the first one away. */
const TOKENIZER = new Tokenizer({
  version: "1.0",
  added_tokens: [{ id: 0, content: "<s>", special: true, normalized: false }],
  normalizer: null,
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  post_processor: null,
  decoder: { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true },
  model: {
    type: "BPE",
    vocab: { "<s>": 0, "▁": 1, a: 2, b: 3, "▁a": 4, "▁b": 5, ab: 6 },
    merges: ["▁ a", "▁ b", "a b"],
    unk_token: null,
  },
}, { bos_token: "<s>" });

const place = (logProbability: number, ...alternatives: readonly [number, number][]) => ({
  logProbability,
  alternatives: alternatives.map(([token, value]) => ({ token, logProbability: value })),
});

Deno.test("tokens of a text have their texts and places, the first without its space", () => {
  const texts = new TokenTexts(TOKENIZER);
  const tokens = [0, 4, 3, 5, 6];
  assert.equal(TOKENIZER.decode(tokens, { skipSpecialTokens: true }), "ab bab");
  const places = [place(-1, [4, -1]), place(-2, [3, -2]), place(-3, [5, -3]), place(-4, [6, -4])];
  const found = logProbabilities(texts, tokens, places, { first: 0, count: 1 });
  assert.deepEqual(found.tokens, ["<s>", " a", "b", " b", "ab"]);
  assert.deepEqual(found.text_offset, [0, 0, 1, 2, 4]);
  assert.deepEqual(found.token_logprobs, [null, -1, -2, -3, -4]);
  const rest = logProbabilities(texts, tokens, places, { first: 3, count: 1 });
  assert.deepEqual(rest, {
    tokens: found.tokens.slice(3),
    token_logprobs: found.token_logprobs.slice(3),
    top_logprobs: found.top_logprobs.slice(3),
    text_offset: found.text_offset.slice(3),
  });
});

Deno.test("alternatives have the token itself among them, and of equal texts the likeliest", () => {
  const texts = new TokenTexts(TOKENIZER);
  const top = (score: ReturnType<typeof place>, count: number) =>
    logProbabilities(texts, [0, 3], [score], { first: 1, count }).top_logprobs;
  assert.deepEqual(top(place(-5, [2, -0.1], [3, -5]), 0), [{ b: -5 }]);
  assert.deepEqual(top(place(-5, [2, -0.1], [6, -4]), 1), [{ b: -5, a: -0.1 }]);
  assert.deepEqual(top(place(-5, [2, -0.1], [3, -5]), 2), [{ b: -5, a: -0.1 }]);
  // A token of the same text that is likelier makes this one no greedy choice.
  assert.deepEqual(top(place(-5, [3, -0.5]), 1), [{ b: -0.5 }]);
});
