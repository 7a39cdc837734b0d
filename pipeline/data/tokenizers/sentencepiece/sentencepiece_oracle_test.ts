/**
 * SentencePiece models against SentencePiece itself, the C++ library, on texts that are hard to cut:
 * small vocabularies are trained with all settings that change what encoding does.
 *
 * @module
 */

import assert from "node:assert/strict";
import { testUnless } from "../../../../tests/support/optional.ts";
import { findPython } from "../../../environment/oracles.ts";
import { AWKWARD_TEXTS, randomTexts, trainingSentences } from "../testing/awkward_texts.ts";
import { writeModelProto } from "../testing/write_model_proto.ts";
import { PIECE_TYPE, readModelProto } from "./model_proto.ts";
import { SentencePieceModel } from "./sentencepiece_model.ts";

const SCRIPT =
  new URL("../../../../tests/oracles/sentencepiece_models.py", import.meta.url).pathname;

const SETTINGS: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "BPE as LLaMA's": {
    model_type: "bpe",
    vocab_size: 480,
    byte_fallback: true,
    normalization_rule_name: "identity",
    remove_extra_whitespaces: false,
    split_digits: true,
  },
  "BPE": { model_type: "bpe", vocab_size: 200 },
  "BPE over words, without prefix": {
    model_type: "bpe",
    vocab_size: 300,
    split_by_whitespace: false,
    add_dummy_prefix: false,
    user_defined_symbols: ["<sep>", "e fox", "..."],
  },
  "BPE with NFKC and folding": {
    model_type: "bpe",
    vocab_size: 460,
    byte_fallback: true,
    normalization_rule_name: "nmt_nfkc_cf",
    user_defined_symbols: ["<sep>", "A", "\u2581\u2581"],
    control_symbols: ["<0>"],
  },
  "Unigram": { model_type: "unigram", vocab_size: 200, hard_vocab_limit: false },
  "Unigram with bytes": {
    model_type: "unigram",
    vocab_size: 480,
    hard_vocab_limit: false,
    byte_fallback: true,
    character_coverage: 0.98,
    normalization_rule_name: "nfkc",
    user_defined_symbols: ["<sep>", "e fox", "..."],
  },
  "Unigram with spaces as they are": {
    model_type: "unigram",
    vocab_size: 200,
    hard_vocab_limit: false,
    remove_extra_whitespaces: false,
    add_dummy_prefix: false,
    pad_id: 3,
    bos_id: -1,
  },
  "Unigram with spaces behind words": {
    model_type: "unigram",
    vocab_size: 200,
    hard_vocab_limit: false,
    treat_whitespace_as_suffix: true,
  },
};

interface Answer {
  readonly model: string;
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

const python = await findPython(["sentencepiece"]);
const missing = python === null ? "no Python with SentencePiece" : null;
const texts = [...AWKWARD_TEXTS, ...randomTexts(400, 5), ...trainingSentences(20, 6)];

testUnless(missing, "ids and texts of trained models against SentencePiece", async () => {
  const corpus = trainingSentences(500, 4);
  const names = Object.keys(SETTINGS);
  const answers = await ask(names.map((name) => ({ train: SETTINGS[name], corpus })));
  for (const [index, answer] of answers.entries()) {
    compare(answer, names[index] ?? "");
    compareDecoded(answer, names[index] ?? "");
  }
});

testUnless(missing, "pieces that are not used against SentencePiece", async () => {
  const corpus = trainingSentences(500, 4);
  const names = ["BPE as LLaMA's", "BPE over words, without prefix", "Unigram"];
  const trained = await ask(names.map((name) => ({ train: SETTINGS[name], corpus })));
  const models = trained.map(({ model }) => {
    const proto = readModelProto(Uint8Array.fromBase64(model), "trained");
    const pieces = proto.pieces.map((piece, id) =>
      piece.type === PIECE_TYPE.normal && piece.piece.length > 1 && id % 3 === 0
        ? { ...piece, type: PIECE_TYPE.unused }
        : piece
    );
    return { model: writeModelProto({ ...proto, pieces }).toBase64() };
  });
  for (const [index, answer] of (await ask(models)).entries()) compare(answer, names[index] ?? "");
});

function compare({ model, ids }: Answer, name: string): void {
  const ours = new SentencePieceModel(Uint8Array.fromBase64(model), name);
  for (const [index, text] of texts.entries()) {
    assert.deepEqual(ours.encode(text), ids[index], `${name}: ${JSON.stringify(text)}`);
  }
}

function compareDecoded({ model, ids, decoded }: Answer, name: string): void {
  const ours = new SentencePieceModel(Uint8Array.fromBase64(model), name);
  for (const [index, list] of ids.entries()) {
    // SentencePiece writes an unknown token as a mark of its own, not as "<unk>".
    if (ours.unknownId !== null && list.includes(ours.unknownId)) continue;
    assert.equal(ours.decode(list), decoded[index], `${name}: ${JSON.stringify(texts[index])}`);
  }
}

async function ask(models: readonly object[]): Promise<Answer[]> {
  const child = new Deno.Command(python ?? "", {
    args: [SCRIPT],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(JSON.stringify({ models, texts })));
  await writer.close();
  const { success, stdout, stderr } = await child.output();
  assert(success, new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
