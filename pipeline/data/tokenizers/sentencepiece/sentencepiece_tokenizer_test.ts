import assert from "node:assert/strict";
import { UserError } from "../../../errors.ts";
import { Tokenizer } from "../../tokenizer.ts";
import { BYTE_TOKENS } from "../token_model.ts";
import { writeModelProto } from "../testing/write_model_proto.ts";
import { MODEL_TYPE, PIECE_TYPE, readModelProto } from "./model_proto.ts";
import { SentencePieceTokenizer } from "./sentencepiece_tokenizer.ts";

const { normal, unknown, control, userDefined, byte } = PIECE_TYPE;

const SPECIAL = [
  { piece: "<unk>", score: 0, type: unknown },
  { piece: "<s>", score: 0, type: control },
  { piece: "</s>", score: 0, type: control },
];
const WORDS = ["\u2581", "a", "b", "\u2581a", "ab", "\u2581ab"].map((piece, index) => ({
  piece,
  score: -index,
  type: normal,
}));
const [UNK, BOS, EOS, SPACE, A, B, SPACE_A, , SPACE_AB] = [0, 1, 2, 3, 4, 5, 6, 7, 8];
const BPE = {
  pieces: [...SPECIAL, ...WORDS],
  modelType: MODEL_TYPE.bpe,
  normalizer: { removeExtraWhitespaces: false },
};

function open(
  model: Parameters<typeof writeModelProto>[0],
  config = {},
  added: ConstructorParameters<typeof SentencePieceTokenizer>[2] = [],
): Tokenizer {
  const bytes = writeModelProto(model);
  return new Tokenizer(new SentencePieceTokenizer(bytes, config, added, "m/tokenizer.model"));
}

Deno.test("SentencePieceTokenizer puts BOS and EOS around texts as the configuration says", () => {
  assert.deepEqual([...open(BPE).encode("ab")], [BOS, SPACE_AB]);
  assert.deepEqual([...open(BPE, { add_bos_token: false }).encode("ab")], [SPACE_AB]);
  assert.deepEqual([...open(BPE, { add_eos_token: true }).encode("ab")], [BOS, SPACE_AB, EOS]);
  assert.deepEqual([...open(BPE).encode("")], [BOS]);
  const { bosId, eosId, padId, unknownId, vocabSize, addsBos } = open(BPE);
  assert.deepEqual([bosId, eosId, padId, unknownId, vocabSize], [BOS, EOS, null, UNK, 9]);
  assert.equal(addsBos, true);
  assert.equal(open(BPE, { add_bos_token: false }).addsBos, false);
});

Deno.test("SentencePieceTokenizer finds special tokens in texts, each text with its own prefix", () => {
  const tokenizer = open(BPE);
  const ids = [SPACE_A, EOS, BOS, SPACE_A];
  assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens("a</s><s>a")], ids);
  assert.equal(tokenizer.decode(ids), "a</s><s>a");
  assert.equal(tokenizer.decode(ids, { skipSpecialTokens: true }), "aa");
  const modern = open(BPE, { legacy: false });
  assert.deepEqual([...modern.encodeWithoutSpecialTokens("a</s><s>a")], [SPACE_A, EOS, BOS, A]);
  assert.deepEqual([...modern.encodeWithoutSpecialTokens("</s>a b")], [EOS, A, SPACE, B]);
  assert.equal(modern.decode([EOS, A, SPACE, B]), "</s>a b");
});

Deno.test("SentencePieceTokenizer takes roles and tokens from beside the model", () => {
  const added = [{ id: 9, content: "[PAD]", special: true }];
  const tokenizer = open(BPE, { pad_token: "[PAD]", bos_token: { content: "</s>" } }, added);
  assert.deepEqual([tokenizer.padId, tokenizer.bosId, tokenizer.vocabSize], [9, EOS, 10]);
  assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens("a[PAD]")], [SPACE_A, 9]);
  assert.throws(() => open(BPE, { pad_token: "[PAD]" }), /pad_token "\[PAD\]".*not in the vocab/);
});

Deno.test("SentencePieceTokenizer counts what it cannot spell, or refuses it, or spells bytes", () => {
  const tokenizer = open(BPE);
  assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens("axyb")], [SPACE_A, UNK, B]);
  assert.deepEqual([...tokenizer.encodeWithoutSpecialTokens("xax")], [SPACE, UNK, A, UNK]);
  assert.equal(tokenizer.unknownCount, 3);
  const strict = { ...BPE, pieces: BPE.pieces.filter(({ type }) => type !== unknown) };
  assert.throws(
    () => open(strict).encode("ax"),
    (error) =>
      error instanceof UserError && /tokenizer.model.*cannot spell "x"/.test(error.message),
  );
  const bytes = BYTE_TOKENS.map((piece) => ({ piece, score: 0, type: byte }));
  const whole = open({ ...BPE, pieces: [...BPE.pieces, ...bytes], byteFallback: true });
  assert.deepEqual([...whole.encodeWithoutSpecialTokens("a\u00e9")], [SPACE_A, 9 + 0xc3, 9 + 0xa9]);
  assert.equal(whole.unknownCount, 0);
});

Deno.test("SentencePieceTokenizer keeps user-defined pieces whole", () => {
  const pieces = [...BPE.pieces, { piece: "b\u2581a", score: 0, type: userDefined }];
  const bpe = open({ ...BPE, pieces });
  assert.deepEqual([...bpe.encodeWithoutSpecialTokens("ab ab")], [SPACE_A, 9, B]);
  // "\u2581" and "a" cost 1, "\u2581a" costs 3.
  const unigram = open({ ...BPE, pieces, modelType: MODEL_TYPE.unigram });
  assert.deepEqual([...unigram.encodeWithoutSpecialTokens("ab ab")], [SPACE, A, 9, B]);
});

Deno.test("SentencePiece models that are damaged or of another type are refused", () => {
  const bytes = writeModelProto(BPE);
  const refuses = (bytes: Uint8Array, message: RegExp) =>
    assert.throws(
      () => new SentencePieceTokenizer(bytes, {}, [], "m/tokenizer.model"),
      (error) => error instanceof UserError && message.test(error.message),
    );
  // A message may end between two of its fields.
  let whole = 0;
  for (let length = 0; length < bytes.length; length++) {
    try {
      assert.notDeepEqual(readModelProto(bytes.subarray(0, length), "m").pieces, []);
      whole++;
    } catch (error) {
      assert(error instanceof UserError, `${length}: ${error}`);
      assert.match(error.message, /^m: (not a SentencePiece model|a SentencePiece model without)/);
    }
  }
  assert.equal(whole, BPE.pieces.length + 1);
  refuses(
    new TextEncoder().encode('{"version": "1.0"}'),
    /not a SentencePiece model, or a damaged/,
  );
  // A piece of two bytes that holds a text of five.
  refuses(Uint8Array.of(10, 2, 10, 5, 97, 97, 97, 97, 97), /reaches beyond its end at byte 4/);
  refuses(new Uint8Array(100).fill(0xff), /not a SentencePiece model/);
  refuses(writeModelProto({ ...BPE, modelType: MODEL_TYPE.word }), /of type 3.*wanted 1 .*or 2/);
  const charactersMap = Uint8Array.of(200, 0, 0, 0, 1, 2, 3, 4);
  refuses(
    writeModelProto({ ...BPE, normalizer: { charactersMap } }),
    /character map of 8 bytes does not hold a trie of 200 bytes/,
  );
});
