/**
 * SentencePiece's normalizer (`normalizer.cc`): character rules, and spaces written as `▁`.
 *
 * @module
 */

import { UserError } from "../../../errors.ts";
import type { Trie } from "../trie.ts";
import { CharactersMap } from "./characters_map.ts";
import type { ModelProto } from "./model_proto.ts";

/** U+2581, which stands for a space in pieces. */
export const SPACE_SYMBOL = "\u2581";

/** Makes of a text what pieces are looked for in. */
export class SentencePieceNormalizer {
  readonly #map: CharactersMap | null;
  readonly #userDefined: Trie | null;
  readonly #model: ModelProto;

  /**
   * Reads the rules.
   *
   * @param userDefined Pieces that no rule touches, if there are any.
   * @throws {UserError} If the rules are damaged.
   */
  constructor(model: ModelProto, userDefined: Trie | null, name: string) {
    this.#model = model;
    this.#userDefined = userDefined;
    const { charactersMap } = model.normalizer;
    try {
      this.#map = charactersMap.length === 0 ? null : new CharactersMap(charactersMap);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new UserError(`${name}: ${error.message}; download it again`);
    }
  }

  /**
   * Normalizes a text.
   *
   * @param dummyPrefix Whether a space is added where the model adds one.
   */
  normalize(input: string, dummyPrefix = true): string {
    const { addDummyPrefix, removeExtraWhitespaces, escapeWhitespaces } = this.#model.normalizer;
    const { treatWhitespaceAsSuffix } = this.#model;
    const replaced = this.#map === null && !removeExtraWhitespaces
      ? input
      : this.#replace(input, removeExtraWhitespaces);
    if (replaced === "") return "";
    const space = escapeWhitespaces ? SPACE_SYMBOL : " ";
    const dummy = addDummyPrefix && dummyPrefix ? space : "";
    const spaced = replaced.replaceAll(" ", space);
    const text = treatWhitespaceAsSuffix ? spaced : dummy + spaced;
    // A `\u2581` of the text itself counts as a space here, and so does the one that was added.
    const trimmed = removeExtraWhitespaces ? trimEnd(text, space) : text;
    return treatWhitespaceAsSuffix ? trimmed + dummy : trimmed;
  }

  /** Applies the rules; `trims` leaves one of neighbouring spaces, and none at the start. */
  #replace(text: string, trims: boolean): string {
    let result = "";
    let endsWithSpace = trims;
    for (let position = 0; position < text.length;) {
      const part = this.#partAt(text, position);
      const added = endsWithSpace ? part.text.replace(/^ +/, "") : part.text;
      if (added !== "") {
        result += added;
        endsWithSpace = trims && added.endsWith(" ");
      }
      position = part.end;
    }
    return result;
  }

  #partAt(text: string, start: number): { readonly text: string; readonly end: number } {
    const symbol = this.#userDefined?.longest(text, start) ?? null;
    if (symbol !== null) return { text: text.slice(start, symbol.end), end: symbol.end };
    const rule = this.#map?.longest(text, start) ?? null;
    if (rule !== null) return rule;
    const end = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
    return { text: text.slice(start, end), end };
  }
}

function trimEnd(text: string, space: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === space) end--;
  return text.slice(0, end);
}
