/**
 * SentencePiece's byte-pair encoding (`bpe_model.cc`): of all neighbours that are a piece together,
 * those with the greatest score are joined first.
 *
 * @module
 */

import { JoinedCharacters } from "../joined_characters.ts";
import { Merges } from "../merges.ts";
import { rememberPieces } from "../piece_cache.ts";
import type { Trie } from "../trie.ts";
import type { Segment } from "../unigram.ts";
import { type Piece, PIECE_TYPE } from "./model_proto.ts";

/** Symbols of characters that are no pieces: this and the code point. */
const CHARACTER = 2 ** 24;

/** A SentencePiece vocabulary of type BPE. */
export class SentencePieceBpe {
  readonly #ids: ReadonlyMap<string, number>;
  readonly #texts: readonly string[];
  readonly #unused: ReadonlySet<number>;
  readonly #userDefined: Trie | null;
  readonly #merges = new Merges();
  readonly #joined: JoinedCharacters;
  readonly #symbols: (part: string) => readonly number[];

  /** Ranks the pieces; those that stand for themselves (control, unknown, byte) are never made. */
  constructor(pieces: readonly Piece[], userDefined: Trie | null) {
    const used = pieces.map((piece, id) => ({ ...piece, id })).filter(({ type }) =>
      type === PIECE_TYPE.normal || type === PIECE_TYPE.userDefined || type === PIECE_TYPE.unused
    );
    this.#ids = new Map(used.map(({ piece, id }) => [piece, id]));
    this.#texts = pieces.map(({ piece }) => piece);
    this.#unused = new Set(
      used.filter(({ type }) => type === PIECE_TYPE.unused).map(({ id }) => id),
    );
    this.#userDefined = userDefined;
    const scores = [...new Set(used.map(({ score }) => score))].sort((one, other) => other - one);
    const ranks = new Map(scores.map((score, rank) => [score, rank]));
    for (const { piece, id, score } of used) {
      this.#merges.addSplits(piece, ranks.get(score) ?? 0, id, (part) => this.#symbol(part));
    }
    this.#joined = new JoinedCharacters(used.map(({ piece }) => piece));
    this.#symbols = rememberPieces((part) => this.#merge(part));
  }

  /** Cuts a normalized text; characters that are no piece have `unknownId`. */
  segment(text: string, unknownId: number): Segment[] {
    const segments: Segment[] = [];
    let start = 0;
    const add = (id: number, length: number) => {
      segments.push({ id, start, end: start + length });
      start += length;
    };
    for (const section of this.#sections(text)) {
      if (typeof section === "number") {
        add(section, this.#texts[section]?.length ?? 0);
        continue;
      }
      for (const part of this.#joined.split(section)) {
        for (const symbol of this.#symbols(part)) {
          if (symbol < CHARACTER) add(symbol, this.#texts[symbol]?.length ?? 0);
          else add(unknownId, symbol - CHARACTER > 0xffff ? 2 : 1);
        }
      }
    }
    return segments;
  }

  /** User-defined pieces, and texts between them: they are found first and never joined. */
  *#sections(text: string): Generator<number | string> {
    let start = 0;
    for (let position = 0; this.#userDefined !== null && position < text.length;) {
      const found = this.#userDefined.longest(text, position);
      if (found === null) {
        position++;
        continue;
      }
      if (position > start) yield text.slice(start, position);
      yield found.value;
      start = position = found.end;
    }
    if (start < text.length) yield text.slice(start);
  }

  #merge(text: string): number[] {
    const symbols = Array.from(text, (character) => this.#symbol(character) ?? 0);
    if (this.#unused.size === 0) return this.#merges.apply(symbols);
    const parts = new Map<number, readonly [number, number]>();
    const merged = this.#merges.apply(symbols, (left, right, symbol) => {
      if (this.#unused.has(symbol)) parts.set(symbol, [left, right]);
    });
    // Unused pieces may be a step towards others, but are taken apart again where they remain.
    const resegment = (symbol: number): number[] => {
      const pair = this.#unused.has(symbol) ? parts.get(symbol) : undefined;
      return pair === undefined ? [symbol] : pair.flatMap(resegment);
    };
    return merged.flatMap(resegment);
  }

  /** Id of a piece, or the symbol of a character that is none. */
  #symbol(part: string): number | undefined {
    const id = this.#ids.get(part);
    if (id !== undefined) return id;
    const point = part.codePointAt(0) ?? 0;
    return part.length === (point > 0xffff ? 2 : 1) ? CHARACTER + point : undefined;
  }
}
