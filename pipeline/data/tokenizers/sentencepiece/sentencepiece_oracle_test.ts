/**
 * SentencePiece models against SentencePiece itself, the C++ library, on texts that are hard to cut:
 * small vocabularies are trained with all settings that change what encoding does.
 *
 * @module
 */

import assert from "node:assert/strict";
import { join } from "node:path";
import { RandomStream } from "../../../../kernels/random.ts";
import { NO_TEST_DATA, TEST_DATA, testUnless } from "../../../../tests/support/optional.ts";
import { findPython } from "../../../environment/oracles.ts";
import { type Answer, askSentencePiece } from "../testing/ask_sentencepiece.ts";
import { AWKWARD_TEXTS, randomTexts, trainingSentences } from "../testing/awkward_texts.ts";
import { llama2Pieces } from "../testing/llama2_pieces.ts";
import { writeModelProto } from "../testing/write_model_proto.ts";
import { MODEL_TYPE, PIECE_TYPE, readModelProto } from "./model_proto.ts";
import { SentencePieceModel } from "./sentencepiece_model.ts";

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

const python = await findPython(["sentencepiece"]);
const missing = python === null ? "no Python with SentencePiece" : null;
const texts = [...AWKWARD_TEXTS, ...randomTexts(400, 5), ...trainingSentences(20, 6)];

/** Numbers below 1, to be scaled to ids: bytes that are no characters, control pieces, and all else. */
const random = new RandomStream(3, "sequences");
const sequences = Array.from(
  { length: 200 },
  (_, row) => Array.from({ length: 12 }, (_, index) => random.uniform(12 * row + index)),
);

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
  const names = [
    "BPE as LLaMA's",
    "BPE over words, without prefix",
    "Unigram",
    "Unigram with bytes",
  ];
  const trained = await ask(names.map((name) => ({ train: SETTINGS[name], corpus })));
  const models = trained.map(({ model }) => {
    const proto = readModelProto(Uint8Array.fromBase64(model), "trained");
    const pieces = proto.pieces.map((piece, id) =>
      piece.type === PIECE_TYPE.normal && piece.piece.length > 1 && id % 3 === 0
        ? { ...piece, type: PIECE_TYPE.unused }
        // User-defined pieces do not need their scores.
        : { ...piece, score: piece.type === PIECE_TYPE.userDefined ? -100 : piece.score }
    );
    return { model: writeModelProto({ ...proto, pieces }).toBase64() };
  });
  for (const [index, answer] of (await ask(models)).entries()) compare(answer, names[index] ?? "");
});

testUnless(
  missing ?? NO_TEST_DATA,
  "LLaMA 2's vocabulary, as BPE and as Unigram, on WikiText and MMLU against SentencePiece",
  async () => {
    const pieces = await llama2Pieces(TEST_DATA);
    const normalizer = { addDummyPrefix: true, removeExtraWhitespaces: false };
    const models = [MODEL_TYPE.bpe, MODEL_TYPE.unigram].map((modelType) => ({
      model: writeModelProto({ pieces, modelType, byteFallback: true, normalizer }).toBase64(),
    }));
    const wikitext = await Deno.readTextFile(join(TEST_DATA, "text/wikitext-2-raw/wiki.test.raw"));
    const questions = await Deno.readTextFile(join(TEST_DATA, "eval/mmlu/dev/anatomy_dev.csv"));
    const real = [wikitext.slice(0, 200_000), ...questions.split("\n")];
    for (const answer of await ask(models, real)) {
      compare(answer, "LLaMA 2", real);
      compareDecoded(answer, "LLaMA 2", real);
    }
  },
);

function compare({ model, ids }: Answer, name: string, asked = texts): void {
  const ours = new SentencePieceModel(Uint8Array.fromBase64(model), name);
  for (const [index, text] of asked.entries()) {
    assert.deepEqual(ours.encode(text), ids[index], `${name}: ${JSON.stringify(text)}`);
  }
}

function compareDecoded(answer: Answer, name: string, asked = texts): void {
  const ours = new SentencePieceModel(Uint8Array.fromBase64(answer.model), name);
  const vocabSize = ours.proto.pieces.length;
  const lists = sequences.map((numbers) => numbers.map((number) => Math.floor(number * vocabSize)));
  const check = (list: readonly number[], wanted: string | undefined, what: string) => {
    // SentencePiece writes an unknown token as a mark of its own, not as "<unk>".
    if (ours.unknownId !== null && list.includes(ours.unknownId)) return;
    assert.equal(ours.decode(list), wanted, `${name}: ${what}`);
  };
  for (const [index, list] of answer.ids.entries()) {
    check(list, answer.decoded[index], JSON.stringify(asked[index]));
  }
  for (const [index, list] of lists.entries()) {
    check(list, answer.sequences[index], list.map((id) => ours.proto.pieces[id]?.piece).join("|"));
  }
}

function ask(models: readonly object[], asked = texts): Promise<Answer[]> {
  return askSentencePiece(python ?? "", { models, texts: asked, sequences });
}
