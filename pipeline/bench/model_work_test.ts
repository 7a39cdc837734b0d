import assert from "node:assert/strict";
import { parseConfig } from "../models/config.ts";
import { evaluationWork, fullWork, generationWork, loraWork, promptWork } from "./model_work.ts";

const CONFIG = parseConfig({
  hidden_size: 8,
  intermediate_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 32,
  tie_word_embeddings: true,
}, "test");

const BATCH = { batchSize: 3, length: 5 };
const TOKENS = 15;

// q and o are 8x8, k and v 4x8, gate, up and down 16x8.
const QKV = 64 + 2 * 32;
const LINEARS = 2 * (QKV + 64 + 3 * 128);
const HEAD = 32 * 8;
// Every query sees itself and those before it: 15 pairs a sequence, two products of 4 features.
const PAIRS = 2 * 2 * 3 * 15;
const ATTENTION = PAIRS * 2 * 2 * 4;

Deno.test("an evaluation multiplies every token with every matrix once", () => {
  const { tokens, flops } = evaluationWork(CONFIG, BATCH);
  assert.equal(tokens, TOKENS);
  assert.equal(flops, 2 * TOKENS * (LINEARS + HEAD) + ATTENTION);
});

Deno.test("a step of full training has three products for each matrix", () => {
  assert.equal(
    fullWork(CONFIG, BATCH).flops,
    3 * 2 * TOKENS * (LINEARS + HEAD) + 3.5 * ATTENTION,
  );
});

Deno.test("a step of LoRA has no gradient of weights, and none below the first adapters", () => {
  const frozen = 2 * TOKENS * (2 * (LINEARS + HEAD) - QKV) + 3.5 * ATTENTION;
  // Inputs and outputs of the seven layers of both blocks.
  const ends = 2 * (16 + 12 + 12 + 16 + 24 + 24 + 24);
  assert.equal(loraWork(CONFIG, BATCH, 4).flops, frozen + 3 * 2 * TOKENS * 4 * ends);
});

Deno.test("a prompt needs logits after its last token only", () => {
  const attention = ATTENTION / 3;
  assert.equal(promptWork(CONFIG, 5).flops, 2 * (5 * LINEARS + HEAD) + attention);
});

Deno.test("generation reads all weights for every token, and the cache of each sequence", () => {
  const { tokens, flops, bytes } = generationWork(CONFIG, BATCH, 0.75);
  assert.equal(tokens, TOKENS);
  assert.equal(flops, evaluationWork(CONFIG, BATCH).flops);
  // 1 + 2 + 3 + 4 + 5 positions of 3 sequences, 4 keys and 4 values in 2 layers.
  assert.equal(bytes, 5 * (0.75 * LINEARS + 4 * HEAD) + 4 * (3 * 15 * 8 * 2));
});
