/**
 * WikiText as evaluations read it: its file is text that was taken apart into words and signs.
 *
 * @module
 */

import { compile } from "../python/regular_expression.ts";
import { byteLength, countPieces, strip } from "../python/text.ts";

/**
 * The pages of a file of WikiText, which begin at headings of the first level. As the loader of
 * `EleutherAI/wikitext_document_level` splits it; a line between two pages belongs to the first.
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * const pages = splitPages(" \n = One = \n \n = = Part = = \n text \n = Two = \n text \n");
 * assert.deepEqual(pages, [" = One = \n \n = = Part = = \n text ", " = Two = \n text \n"]);
 * ```
 */
export function splitPages(text: string): string[] {
  const pages: string[] = [];
  let lines: string[] = [];
  const finish = () => {
    const page = lines.join("\n");
    if (strip(page) !== "") pages.push(page);
    lines = [];
  };
  for (const line of text.split("\n")) {
    const joined = strip(line.replaceAll("= = =", "===").replaceAll("= =", "=="));
    if (joined.startsWith("= ") && joined.endsWith(" =")) finish();
    lines.push(line);
  }
  finish();
  return pages;
}

/** Text in, text out: each is done everywhere before the next. */
const STEPS: readonly (readonly [find: string | RegExp, replace: string])[] = [
  ["s '", "s'"],
  // Without effect: the slashes are those of another language's notation. Kept for equality.
  [compile(`/' [0-9]/`), "/'[0-9]/"],
  [" @-@ ", "-"],
  [" @,@ ", ","],
  [" @.@ ", "."],
  [" : ", ": "],
  [" ; ", "; "],
  [" . ", ". "],
  [" ! ", "! "],
  [" ? ", "? "],
  [" , ", ", "],
  [compile(String.raw`\(\s*([^\)]*?)\s*\)`), "($1)"],
  [compile(String.raw`\[\s*([^\]]*?)\s*\]`), "[$1]"],
  [compile(String.raw`\{\s*([^}]*?)\s*\}`), "{$1}"],
  [compile(String.raw`"\s*([^"]*?)\s*"`), '"$1"'],
  [compile(String.raw`'\s*([^']*?)\s*'`), "'$1'"],
  ["= = = =", "===="],
  ["= = =", "==="],
  ["= =", "=="],
  [" \u00b0 ", "\u00b0"],
  [" \n", "\n"],
  ["\n ", "\n"],
  [" N ", " 1 "],
  [" 's", "'s"],
];

/**
 * Puts the words and signs of a page together, as `wikitext_detokenizer` of lm-evaluation-harness does
 * (`lm_eval/tasks/wikitext/preprocess_wikitext.py`, version 2.0 of the task).
 *
 * @example
 * ```ts
 * import assert from "node:assert/strict";
 *
 * assert.equal(detokenize("a 10 @-@ year ( or so ) , 's end . \n"), "a 10-year (or so),'s end.\n");
 * ```
 */
export function detokenize(page: string): string {
  return STEPS.reduce((text, [find, replace]) => text.replaceAll(find, replace), page);
}

/** What the losses of a page are divided by. */
export interface PageSize {
  /** Pieces between runs of white space; the empty ones at the ends count. */
  readonly words: number;
  /** Of UTF-8. */
  readonly bytes: number;
}

/** Words and bytes of a page as it is in the file, as the harness counts them. */
export function pageSize(page: string): PageSize {
  return { words: countPieces(page), bytes: byteLength(page) };
}
