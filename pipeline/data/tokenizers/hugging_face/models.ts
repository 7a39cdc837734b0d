/**
 * Models of `tokenizer.json`, as the crate `tokenizers` defines them (`src/models/`): BPE, Unigram,
 * WordPiece and WordLevel.
 *
 * @module
 */

import { WordPiece } from "@huggingface/tokenizers";
import { rememberPieces } from "../piece_cache.ts";
import { byteIds, type TokenModel, UnspellableError } from "../token_model.ts";
import { Unigram, UNKNOWN_PENALTY } from "../unigram.ts";
import { BytePairModel, mergesOfList } from "./byte_pair_model.ts";
import { type Component, unknownType } from "./patterns.ts";

/**
 * Builds a model. Old files do not name its type.
 *
 * @throws {Error} If its type is unknown, or it contradicts itself.
 */
export function createModel(component: Component): TokenModel {
  switch (component.type ?? guessType(component)) {
    case "BPE":
      return createBytePairModel(component);
    case "Unigram":
      return createUnigramModel(component);
    case "WordPiece":
      return createWordPieceModel(component);
    case "WordLevel":
      return createWordLevelModel(component);
    default:
      throw unknownType("model", component);
  }
}

function guessType(component: Component): string {
  if (Array.isArray(component.vocab)) return "Unigram";
  if ("merges" in component) return "BPE";
  return "continuing_subword_prefix" in component ? "WordPiece" : "WordLevel";
}

function createBytePairModel(component: Component): TokenModel {
  const vocabulary = vocabularyOf(component);
  if (!Array.isArray(component.merges)) throw new TypeError("its model has no list of merges");
  const prefix = textOf(component.continuing_subword_prefix);
  return new BytePairModel(vocabulary, mergesOfList(component.merges, vocabulary, prefix), {
    unknownToken: typeof component.unk_token === "string" ? component.unk_token : null,
    fuseUnknown: component.fuse_unk === true,
    byteFallback: component.byte_fallback === true,
    ignoreMerges: component.ignore_merges === true,
    prefix,
    suffix: textOf(component.end_of_word_suffix),
  });
}

function createUnigramModel(component: Component): TokenModel {
  const { vocab, unk_id, byte_fallback } = component;
  if (!Array.isArray(vocab) || vocab.length === 0) {
    throw new TypeError("its model has no list of pieces with scores as vocab");
  }
  const pieces = vocab.map((entry: unknown, id) => {
    const [text, score] = Array.isArray(entry) ? entry : [];
    if (typeof text !== "string" || typeof score !== "number") {
      throw new TypeError(`its piece ${id} is ${JSON.stringify(entry)}, not [text, score]`);
    }
    return { id, text, score };
  });
  const unknownId = typeof unk_id === "number" ? unk_id : null;
  const worst = pieces.reduce((least, { score }) => Math.min(least, score), Infinity);
  const unigram = new Unigram(pieces, {
    unknownId: unknownId ?? -1,
    unknownScore: worst - UNKNOWN_PENALTY,
  });
  const vocabulary = new Map(pieces.map(({ text, id }) => [text, id]));
  const encode = rememberPieces((piece) => {
    const ids: number[] = [];
    let unknownEnd = -1;
    for (const { id, start, end } of unigram.segment(piece)) {
      const isUnknown = id === (unknownId ?? -1);
      const text = piece.slice(start, end);
      const bytes = isUnknown && byte_fallback === true ? byteIds(text, vocabulary) : null;
      if (bytes !== null) ids.push(...bytes);
      else if (id < 0) throw new UnspellableError(text);
      // Neighbouring unknown characters are one token.
      else if (!isUnknown || unknownEnd !== start) ids.push(id);
      if (isUnknown && bytes === null) unknownEnd = end;
    }
    return ids;
  });
  return { vocabulary, unknownId, encode };
}

function createWordPieceModel(component: Component): TokenModel {
  const vocabulary = vocabularyOf(component);
  const unknown = textOf(component.unk_token ?? "[UNK]");
  const unknownId = vocabulary.get(unknown) ?? null;
  const model = new WordPiece(
    {
      ...component,
      unk_token: unknown,
      continuing_subword_prefix: component.continuing_subword_prefix ?? "##",
    } as unknown as ConstructorParameters<typeof WordPiece>[0],
  );
  const encode = rememberPieces((piece) =>
    model.encode([piece]).map((token) => {
      const id = vocabulary.get(token);
      if (id === undefined) throw new UnspellableError(piece);
      return id;
    })
  );
  return { vocabulary, unknownId, encode };
}

function createWordLevelModel(component: Component): TokenModel {
  const vocabulary = vocabularyOf(component);
  const unknownId = vocabulary.get(textOf(component.unk_token ?? "<unk>")) ?? null;
  const encode = (piece: string) => {
    const id = vocabulary.get(piece) ?? unknownId;
    if (id === null) throw new UnspellableError(piece);
    return [id];
  };
  return { vocabulary, unknownId, encode };
}

function vocabularyOf({ vocab }: Component): Map<string, number> {
  if (typeof vocab !== "object" || vocab === null || Array.isArray(vocab)) {
    throw new TypeError("its model has no object of tokens and ids as vocab");
  }
  const vocabulary = new Map(Object.entries(vocab));
  for (const [token, id] of vocabulary) {
    if (!Number.isInteger(id) || id < 0) {
      throw new TypeError(`the token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}`);
    }
  }
  return vocabulary;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
