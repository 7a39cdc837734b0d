/**
 * Tokenizers of `tokenizer.json` against the crate `tokenizers`, the program that the format belongs to.
 *
 * `testing/crate_fingerprints.json` holds what version 0.22.2 of the crate (through the npm package
 * @anush008/tokenizers 0.6.0) did with the same files and texts.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../../tests/support/optional.ts";
import { findPython } from "../../../environment/oracles.ts";
import { Tokenizer } from "../../tokenizer.ts";
import { readModelProto } from "../sentencepiece/model_proto.ts";
import { askSentencePiece } from "../testing/ask_sentencepiece.ts";
import { trainingSentences } from "../testing/awkward_texts.ts";
import fingerprints from "../testing/crate_fingerprints.json" with { type: "json" };
import { fingerprint } from "../testing/fingerprint.ts";
import { CASE_TEXTS, tokenizerCases } from "../testing/tokenizer_cases.ts";
import { JsonTokenizer } from "./tokenizer_json.ts";

Deno.test("JsonTokenizer does what the crate does, with every kind of every part", async () => {
  const wanted: Readonly<Record<string, string>> = fingerprints.cases;
  const cases = tokenizerCases();
  assert.deepEqual([...cases.keys()], Object.keys(wanted));
  const differing: string[] = [];
  for (const [name, json] of cases) {
    const tokenizer = new JsonTokenizer(json, {}, name);
    if (await fingerprint(tokenizer, CASE_TEXTS) !== wanted[name]) differing.push(name);
  }
  assert.deepEqual(differing, []);
});

const python = await findPython(["sentencepiece"]);
const missing = python === null ? "no Python with SentencePiece, which has the rules" : null;

testUnless(missing, "JsonTokenizer applies Precompiled normalizers as the crate does", async () => {
  const rules = Object.keys(fingerprints.precompiled);
  const models = rules.map((normalization_rule_name) => ({
    train: { vocab_size: 60, hard_vocab_limit: false, normalization_rule_name },
    corpus: trainingSentences(100, 4),
  }));
  const [base] = tokenizerCases().values();
  for (const [index, { model }] of (await askSentencePiece(python ?? "", { models })).entries()) {
    const { charactersMap } = readModelProto(Uint8Array.fromBase64(model), "trained").normalizer;
    const normalizer = { type: "Precompiled", precompiled_charsmap: charactersMap.toBase64() };
    const tokenizer = new JsonTokenizer({ ...base, normalizer }, {}, "precompiled");
    const found = await fingerprint(tokenizer, CASE_TEXTS);
    assert.equal(found, Object.values(fingerprints.precompiled)[index], rules[index]);
  }
});

testUnless(
  NO_TEST_DATA,
  "JsonTokenizer spells 300,000 characters of WikiText as the crate does",
  async () => {
    const file = join(TEST_DATA, "text/wikitext-2-raw/wiki.test.raw");
    const text = (await Deno.readTextFile(file)).slice(0, 300_000);
    for (const [folder, wanted] of Object.entries(fingerprints.wikitext)) {
      const tokenizer = Tokenizer.open(join(TEST_DATA, folder));
      const found = await fingerprint({
        encode: (text, addBos) => [...tokenizer.encode(text, addBos ? {} : { addBos })],
        decode: () => "",
      }, [text]);
      assert.equal(found, wanted, folder);
    }
  },
);
