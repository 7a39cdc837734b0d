/**
 * How many tokens, windows and rows WikiText-2's test split has under each protocol, with the
 * vocabularies whose counts the field knows.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { Tokenizer } from "../pipeline/data/tokenizer.ts";
import { openLlama2 } from "../pipeline/data/tokenizers/testing/llama2_pieces.ts";
import { gptq } from "../pipeline/evaluation/protocols/gptq.ts";
import { lmEval } from "../pipeline/evaluation/protocols/lm_eval.ts";
import type { RowProtocol, ScoringPlan } from "../pipeline/evaluation/protocols/protocol.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "./support/optional.ts";

const WIKITEXT = join(TEST_DATA, "text/wikitext-2-raw/wiki.test.raw");

function planOf(protocol: RowProtocol, tokenizer: Tokenizer, window: number): Promise<ScoringPlan> {
  return protocol.plan({
    data: { rows: WIKITEXT, on_bad_row: "error" },
    tokenizer,
    window,
    selection: "wikitext2",
    addBosToken: true,
    resolve: (reference) => Promise.resolve([reference]),
  });
}

/** Tokens of the whole text under `gptq`: the largest window that there is one of. */
async function total(tokenizer: Tokenizer, expected: number): Promise<void> {
  assert.equal((await planOf(gptq, tokenizer, expected)).rows.length, 1);
  await assert.rejects(
    () => planOf(gptq, tokenizer, expected + 1),
    new RegExp(`has ${expected} tokens, less than one window`),
  );
}

testUnless(
  NO_TEST_DATA,
  "LLaMA 2: 341,469 tokens, 166 windows of 2048 that begin with one BOS",
  async () => {
    const tokenizer = await openLlama2(TEST_DATA);
    await total(tokenizer, 341_469);
    const { rows } = await planOf(gptq, tokenizer, 2048);
    assert.equal(rows.length, 166);
    assert.deepEqual(
      rows.map(({ tokens }) => tokens[0] === 1),
      rows.map((_, index) => index === 0),
    );
  },
);

testUnless(NO_TEST_DATA, "Llama 3: 289,077 tokens, 141 windows of 2048", async () => {
  const files = Tokenizer.open(join(TEST_DATA, "tokenizers/llama3"));
  // The tokenizer.json of the test data is from before its post-processor added BOS.
  assert.equal(files.addsBos, false);
  const encode = (text: string) => files.encode(text, { addBos: true });
  const tokenizer = { encode } as unknown as Tokenizer;
  await total(tokenizer, 289_077);
  assert.equal((await planOf(gptq, tokenizer, 2048)).rows.length, 141);
});

testUnless(
  NO_TEST_DATA,
  "LLaMA 2: rolling windows score every token of 62 pages once",
  async () => {
    const tokenizer = await openLlama2(TEST_DATA);
    const { rows } = await planOf(lmEval, tokenizer, 4096);
    const scored = rows.reduce(
      (sum, { targets }) => sum + targets.reduce((count, target) => count + target, 0),
      0,
    );
    // A page begins with the prefix and, since version 0.4.9.2, with the tokenizer's own BOS.
    const begins = rows.filter(({ tokens }) => tokens[0] === 1 && tokens[1] === 1);
    assert.equal(begins.length, 62);
    const { rows: small } = await planOf(lmEval, tokenizer, 512);
    assert.equal(
      small.reduce((sum, { targets }) => sum + targets.reduce((count, one) => count + one, 0), 0),
      scored,
    );
  },
);
