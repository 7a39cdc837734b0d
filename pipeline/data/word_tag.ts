/**
 * The word/tag format of tagged corpora (Brown; Francis and Kucera 1964) as readable English.
 *
 * @module
 */

/** Punctuation that stands directly behind the word before it. */
const CLOSING = new Set(["''", ")", "]", "}", ",", ".", ";", ":", "?", "!", "%"]);

/** Punctuation that stands directly before the word behind it. */
const OPENING = new Set(["``", "(", "[", "{"]);

/** Punctuation that the corpus repeats where print does not. */
const REPEATED = new Set([",", ".", ";", ":", "?", "!"]);

/**
 * Text of word/tag tokens: the word is what stands before a token's last slash. Sentences of a
 * paragraph are joined by spaces; paragraphs, which empty lines separate, and headlines, whose tags
 * all end in `-hl`, become one line each.
 *
 * Spaces around punctuation, which the format loses, are restored by rule: none before closing
 * punctuation or behind opening punctuation; the quotes `` `` `` and `''` become `"`; single quotes
 * open and close in turn within a paragraph. Of repeated punctuation one mark is kept, also where a
 * sentence ends with an abbreviation.
 *
 * @example
 * ```ts
 * import { readWordTag } from "./word_tag.ts";
 *
 * const text = readWordTag("``/`` No/rb ,/, ''/'' she/pps said/vbd ./.\n");
 * if (text !== '"No," she said.\n') throw new Error(text);
 * ```
 */
export function readWordTag(tagged: string): string {
  const paragraphs: string[][] = [];
  let isOpen = false;
  for (const line of tagged.split(/\r?\n/)) {
    const tokens = line.split(/\s+/).filter((token) => token !== "").map(splitToken);
    if (tokens.length === 0) {
      isOpen = false;
      continue;
    }
    const words = tokens.map(({ word }) => word).filter((word) => word !== "");
    const isHeadline = tokens.every(({ word, tag }) => tag.endsWith("-hl") || !/\w/.test(word));
    if (isOpen && !isHeadline) paragraphs.at(-1)?.push(...words);
    else paragraphs.push(words);
    isOpen = !isHeadline;
  }
  return paragraphs.map(joinWords).filter((text) => text !== "").map((text) => `${text}\n`).join(
    "",
  );
}

function splitToken(token: string): { readonly word: string; readonly tag: string } {
  const slash = token.lastIndexOf("/");
  if (slash === -1) return { word: token, tag: "" };
  return { word: token.slice(0, slash), tag: token.slice(slash + 1) };
}

function joinWords(words: readonly string[]): string {
  let text = "";
  let attach = true;
  let insideSingleQuotes = false;
  let previous = "";
  for (const word of words) {
    if (REPEATED.has(word) && previous.endsWith(word)) continue;
    previous = word;
    const isSingleQuote = word === "'";
    const closes = CLOSING.has(word) || (isSingleQuote && insideSingleQuotes);
    const opens = OPENING.has(word) || (isSingleQuote && !insideSingleQuotes);
    if (isSingleQuote) insideSingleQuotes = !insideSingleQuotes;
    if (!attach && !closes) text += " ";
    text += word === "``" || word === "''" ? '"' : word;
    attach = opens;
  }
  return text;
}
