/**
 * Byte-pair encoding as in `tokenizer.json` (the crate `tokenizers`, `src/models/bpe/model.rs`). The
 * library's own has the same results where it knows a field; it builds a text for every look-up of a
 * pair, does not know `continuing_subword_prefix`, and drops what it cannot spell.
 *
 * @module
 */

import { JoinedCharacters } from "../joined_characters.ts";
import { Merges } from "../merges.ts";
import { rememberPieces } from "../piece_cache.ts";
import { byteIds, type TokenModel, UnspellableError } from "../token_model.ts";

/** Longer pieces are cut where nothing joins them. */
const LONG_PIECE = 32;

/** Fields of a BPE model. */
export interface BytePairOptions {
  readonly unknownToken: string | null;
  /** Whether neighbouring unknown characters are one token. */
  readonly fuseUnknown: boolean;
  /** Whether unknown characters are spelled with tokens like `<0xE2>`. */
  readonly byteFallback: boolean;
  /** Whether a piece that is a token needs no merges. */
  readonly ignoreMerges: boolean;
  /** What tokens begin with that do not begin a word. */
  readonly prefix: string;
  /** What tokens end with that end a word. */
  readonly suffix: string;
}

/** The usual fields: no unknown token, nothing before or after. */
export const PLAIN_BYTE_PAIRS: BytePairOptions = {
  unknownToken: null,
  fuseUnknown: false,
  byteFallback: false,
  ignoreMerges: false,
  prefix: "",
  suffix: "",
};

/** A byte-pair encoding. */
export class BytePairModel implements TokenModel {
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly unknownId: number | null;
  readonly encode: (piece: string) => readonly number[];
  readonly #merges: Merges;
  readonly #options: BytePairOptions;
  #joined: JoinedCharacters | null = null;

  /** @throws {Error} If the unknown token is not in the vocabulary. */
  constructor(
    vocabulary: ReadonlyMap<string, number>,
    merges: Merges,
    options: BytePairOptions = PLAIN_BYTE_PAIRS,
  ) {
    this.vocabulary = vocabulary;
    this.#merges = merges;
    this.#options = options;
    this.unknownId = idOrNull(vocabulary, options.unknownToken);
    const encodePart = rememberPieces((part) => this.#merge(part));
    this.encode = rememberPieces((piece) => {
      const whole = options.ignoreMerges ? vocabulary.get(piece) : undefined;
      if (whole !== undefined) return [whole];
      if (piece.length <= LONG_PIECE || options.prefix + options.suffix !== "") {
        return this.#merge(piece);
      }
      this.#joined ??= new JoinedCharacters(vocabulary.keys());
      return this.#concatenate(this.#joined.split(piece).map(encodePart));
    });
  }

  #merge(piece: string): readonly number[] {
    const symbols = this.#symbols(piece);
    return symbols.length < 2 ? symbols : this.#merges.apply(symbols);
  }

  /** Ids of the characters of a piece. */
  #symbols(piece: string): number[] {
    const { fuseUnknown, byteFallback, prefix, suffix } = this.#options;
    const symbols: number[] = [];
    let follows = false;
    for (let start = 0; start < piece.length;) {
      const end = start + ((piece.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      const character = piece.slice(start, end);
      const text = (start > 0 ? prefix : "") + character + (end === piece.length ? suffix : "");
      const id = this.vocabulary.get(text);
      const bytes = id === undefined && byteFallback ? byteIds(text, this.vocabulary) : null;
      if (id !== undefined) symbols.push(id);
      else if (bytes !== null) symbols.push(...bytes);
      else if (this.unknownId === null) throw new UnspellableError(character);
      else if (!(fuseUnknown && follows)) symbols.push(this.unknownId);
      follows = id === undefined && bytes === null;
      start = end;
    }
    return symbols;
  }

  #concatenate(parts: readonly (readonly number[])[]): number[] {
    const ids: number[] = [];
    for (const part of parts) {
      const fuses = this.#options.fuseUnknown && part[0] === this.unknownId &&
        ids.at(-1) === this.unknownId;
      for (let i = fuses ? 1 : 0; i < part.length; i++) ids.push(part[i] ?? 0);
    }
    return ids;
  }
}

/**
 * The merges of a list of pairs, `[left, right]` or `"left right"`, in the order of the list.
 *
 * @throws {Error} If the vocabulary lacks a part of a pair, or what it makes.
 */
export function mergesOfList(
  list: readonly unknown[],
  vocabulary: ReadonlyMap<string, number>,
  prefix: string,
): Merges {
  const merges = new Merges();
  for (const [rank, pair] of list.entries()) {
    const [left = "", right = ""] = Array.isArray(pair)
      ? pair.map(String)
      : splitPair(String(pair));
    const merged = left + right.slice(right.startsWith(prefix) ? prefix.length : 0);
    const leftId = vocabulary.get(left);
    const rightId = vocabulary.get(right);
    const mergedId = vocabulary.get(merged);
    if (leftId === undefined || rightId === undefined || mergedId === undefined) {
      const missing = [left, right, merged].find((token) => !vocabulary.has(token));
      throw new Error(
        `merge ${rank + 1} joins ${JSON.stringify(left)} and ${JSON.stringify(right)}, but ` +
          `${JSON.stringify(missing)} is not in the vocabulary`,
      );
    }
    merges.add(leftId, rightId, rank, mergedId);
  }
  return merges;
}

/** The merges of a vocabulary whose ids are ranks: any two tokens that together are a third. */
export function mergesOfRanks(vocabulary: ReadonlyMap<string, number>): Merges {
  const merges = new Merges();
  for (const [token, rank] of vocabulary) {
    merges.addSplits(token, rank, rank, (part) => vocabulary.get(part));
  }
  return merges;
}

function splitPair(pair: string): [string, string] {
  const space = pair.indexOf(" ");
  return [pair.slice(0, space), pair.slice(space + 1)];
}

function idOrNull(vocabulary: ReadonlyMap<string, number>, token: string | null): number | null {
  if (token === null) return null;
  const id = vocabulary.get(token);
  if (id === undefined) {
    throw new Error(`the unknown token ${JSON.stringify(token)} is not in the vocabulary`);
  }
  return id;
}
