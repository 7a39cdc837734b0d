/**
 * Pages of WikiText, whose file is text that was taken apart into words and signs.
 *
 * @module
 */

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
