/**
 * A SentencePiece model: what `SentencePieceProcessor` does with a `tokenizer.model`, to the id.
 *
 * @module
 */

import { UserError } from "../../../errors.ts";
import { BYTE_TOKENS, byteIds, UnspellableError } from "../token_model.ts";
import { Trie } from "../trie.ts";
import { type Segment, Unigram, UNKNOWN_PENALTY } from "../unigram.ts";
import { SentencePieceBpe } from "./bpe.ts";
import { MODEL_TYPE, type ModelProto, PIECE_TYPE, readModelProto } from "./model_proto.ts";
import { SentencePieceNormalizer, SPACE_SYMBOL } from "./normalizer.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true });

/** A vocabulary with its normalizer. Text in, ids out; no piece is special to it. */
export class SentencePieceModel {
  readonly proto: ModelProto;
  /** Id of the unknown piece, or null. */
  readonly unknownId: number | null;
  readonly #name: string;
  readonly #normalizer: SentencePieceNormalizer;
  readonly #segment: (text: string) => Segment[];
  readonly #byteIds: ReadonlyMap<string, number>;

  /**
   * Reads a `tokenizer.model`.
   *
   * @param name What to call the file in messages.
   * @throws {UserError} If it is damaged, or of a type other than BPE and Unigram.
   */
  constructor(bytes: Uint8Array, name: string) {
    this.#name = name;
    this.proto = readModelProto(bytes, name);
    const { pieces, modelType } = this.proto;
    const ids = pieces.map(({ piece, type }, id) => ({ piece, type, id }));
    const userDefined = ids.filter(({ type }) => type === PIECE_TYPE.userDefined);
    const matcher = userDefined.length === 0
      ? null
      : new Trie(userDefined.map(({ piece, id }) => [piece, id]));
    this.unknownId = ids.find(({ type }) => type === PIECE_TYPE.unknown)?.id ?? null;
    this.#byteIds = new Map(
      ids.filter(({ type }) => type === PIECE_TYPE.byte).map(({ piece, id }) => [piece, id]),
    );
    this.#normalizer = new SentencePieceNormalizer(this.proto, matcher, name);
    const unknownId = this.unknownId ?? -1;
    if (modelType === MODEL_TYPE.bpe) {
      const bpe = new SentencePieceBpe(pieces, matcher);
      this.#segment = (text) => bpe.segment(text, unknownId);
    } else if (modelType === MODEL_TYPE.unigram) {
      const unigram = createUnigram(this.proto, unknownId);
      this.#segment = (text) => unigram.segment(text);
    } else {
      throw new UserError(
        `${name}: a SentencePiece model of type ${modelType} (3: words, 4: characters); wanted 1 ` +
          `(Unigram) or 2 (BPE)`,
      );
    }
  }

  /**
   * Ids of a text.
   *
   * @param dummyPrefix Whether a space is added where the model adds one.
   * @throws {UserError} If it has a character that no piece spells, and there is no unknown piece.
   */
  encode(text: string, dummyPrefix = true): number[] {
    const normalized = this.#normalizer.normalize(text, dummyPrefix);
    const ids: number[] = [];
    let afterUnknown = false;
    for (const { id, start, end } of this.#segment(normalized)) {
      const isUnknown = id === (this.unknownId ?? -1);
      if (!isUnknown) ids.push(id);
      else if (this.proto.byteFallback) ids.push(...this.#spell(normalized.slice(start, end)));
      else if (id < 0) throw this.#unspellable(normalized.slice(start, end));
      // Neighbouring unknown characters are one token.
      else if (!afterUnknown) ids.push(id);
      afterUnknown = isUnknown;
    }
    return ids;
  }

  /**
   * Text of ids. Control pieces have none; an unknown one is written as the vocabulary writes it.
   *
   * @param dummyPrefix Whether a space is taken away where the model adds one.
   */
  decode(ids: readonly number[], dummyPrefix = true): string {
    const { pieces, normalizer } = this.proto;
    const { addDummyPrefix, removeExtraWhitespaces } = normalizer;
    let prefixed = dummyPrefix && (addDummyPrefix || removeExtraWhitespaces);
    let text = "";
    let bytes: number[] = [];
    const flush = () => {
      if (bytes.length > 0) text += lossyText(bytes);
      bytes = [];
    };
    for (const id of ids) {
      const piece = pieces[id];
      if (piece === undefined || piece.type === PIECE_TYPE.control) continue;
      if (piece.type === PIECE_TYPE.byte) {
        bytes.push(BYTE_TOKENS.indexOf(piece.piece));
        continue;
      }
      flush();
      const added = piece.piece.replaceAll(SPACE_SYMBOL, " ");
      if (text === "" && prefixed && added.startsWith(" ")) {
        text = added.slice(1);
        prefixed = removeExtraWhitespaces;
      } else {
        text += added;
      }
    }
    flush();
    return text;
  }

  #spell(text: string): number[] {
    const ids = byteIds(text, this.#byteIds);
    if (ids === null) throw this.#unspellable(text);
    return ids;
  }

  #unspellable(text: string): UserError {
    return new UserError(`${this.#name}: ${new UnspellableError(text).message}`);
  }
}

/** Text of UTF-8 bytes; every byte that belongs to no character is one replacement character. */
function lossyText(bytes: readonly number[]): string {
  let text = "";
  for (let start = 0; start < bytes.length;) {
    const first = bytes[start] ?? 0;
    const length = first < 0xc0 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    try {
      text += decoder.decode(Uint8Array.from(bytes.slice(start, start + length)));
      start += length;
    } catch {
      text += "\ufffd";
      start++;
    }
  }
  return text;
}

/** `unigram_model.cc`: sums in float32, and user-defined pieces better than any other spelling. */
function createUnigram(proto: ModelProto, unknownId: number): Unigram {
  const scores = proto.pieces.filter(({ type }) => type === PIECE_TYPE.normal)
    .map(({ score }) => score);
  const best = scores.reduce((most, score) => Math.max(most, score), -Infinity);
  const worst = scores.reduce((least, score) => Math.min(least, score), Infinity);
  const pieces = proto.pieces.flatMap(({ piece, score, type }, id) => {
    if (type === PIECE_TYPE.normal) return [{ id, text: piece, score }];
    if (type !== PIECE_TYPE.userDefined) return [];
    const bonus = Math.fround(encoder.encode(piece).length * best) - 0.1;
    return [{ id, text: piece, score: bonus }];
  });
  return new Unigram(pieces, {
    unknownId,
    unknownScore: Math.fround(worst - UNKNOWN_PENALTY),
    round: Math.fround,
  });
}
