/**
 * Tokens that a text is cut at before anything else happens to it: special tokens, and words that were
 * added to a vocabulary.
 *
 * @module
 */

import { Trie } from "./trie.ts";

/** A token that is found in texts as it stands; the fields of `added_tokens` in `tokenizer.json`. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Whether it counts only between characters that belong to no word. */
  readonly single_word?: boolean;
  /** Whether it swallows the spaces before it. */
  readonly lstrip?: boolean;
  /** Whether it swallows the spaces after it. */
  readonly rstrip?: boolean;
  /** Whether it is looked for in the normalized text. */
  readonly normalized?: boolean;
  /** Whether it is no text: BOS, EOS and their like. */
  readonly special?: boolean;
}

/** A part of a text: the id of an added token, or text between two. */
export type Section = number | string;

/**
 * Tested on one character: V8 finds no match of `/[\p{L}]$/u` in a character beyond U+FFFF, because it
 * begins one code unit before the end.
 */
const WORD_CHARACTER = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACES_AT_END = /\p{White_Space}+$/u;
const SPACES = /\p{White_Space}*/uy;

/**
 * Cuts texts at added tokens, the leftmost and of those the longest first, as the crate `tokenizers`
 * does (`added_vocabulary.rs`).
 *
 * @example
 * ```ts
 * import { AddedTokens } from "./added_tokens.ts";
 *
 * const added = new AddedTokens([{ id: 9, content: "<end>", lstrip: true }]);
 * if (added.split("one <end>two").join("|") !== "one|9|two") throw new Error("its space is gone");
 * ```
 */
export class AddedTokens {
  readonly #tokens: readonly AddedToken[];
  readonly #trie: Trie;

  /** @param contents What each token looks like in the texts, where that is not its content. */
  constructor(tokens: readonly AddedToken[], contents?: readonly string[]) {
    this.#tokens = tokens;
    this.#trie = new Trie(
      tokens.map((token, index) => [contents?.[index] ?? token.content, index]),
    );
  }

  /** The parts of a text, in order; none is an empty text. */
  split(text: string): Section[] {
    if (this.#tokens.length === 0) return text === "" ? [] : [text];
    const sections: Section[] = [];
    let start = 0;
    for (let position = 0; position < text.length;) {
      const found = this.#trie.longest(text, position);
      const token = found === null ? undefined : this.#tokens[found.value];
      if (found === null || token === undefined) {
        position++;
        continue;
      }
      if (token.single_word && isWithinWord(text, position, found.end)) {
        position = found.end;
        continue;
      }
      const before = text.slice(start, position);
      const kept = token.lstrip ? before.replace(SPACES_AT_END, "") : before;
      if (kept !== "") sections.push(kept);
      sections.push(token.id);
      start = token.rstrip ? endOfSpaces(text, found.end) : found.end;
      position = start;
    }
    if (start < text.length) sections.push(text.slice(start));
    return sections;
  }
}

function isWithinWord(text: string, start: number, end: number): boolean {
  const [before = ""] = [...text.slice(Math.max(0, start - 2), start)].reverse();
  return WORD_CHARACTER.test(before) || WORD_CHARACTER.test(text.slice(end, end + 2));
}

function endOfSpaces(text: string, start: number): number {
  SPACES.lastIndex = start;
  SPACES.test(text);
  return SPACES.lastIndex;
}
