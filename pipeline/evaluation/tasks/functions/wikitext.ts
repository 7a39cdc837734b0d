/**
 * WikiText at the level of documents: its tokens become text again, words and bytes are counted before.
 *
 * @module
 */

import { byteLength, countPieces } from "../../python/text.ts";
import { WHITE_SPACE } from "../../python/text.ts";
import { textOf } from "../fields.ts";
import type { TaskFunctions } from "./task_functions.ts";

const S = `[${WHITE_SPACE}]*`;

/** Spaces inside of brackets and quotes, as pairs that do not nest. */
const PAIRS: readonly (readonly [RegExp, string])[] = [
  [new RegExp(`\\(${S}([^)]*?)${S}\\)`, "g"), "($1)"],
  [new RegExp(`\\[${S}([^\\]]*?)${S}\\]`, "g"), "[$1]"],
  [new RegExp(`\\{${S}([^}]*?)${S}\\}`, "g"), "{$1}"],
  [new RegExp(`"${S}([^"]*?)${S}"`, "g"), '"$1"'],
  [new RegExp(`'${S}([^']*?)${S}'`, "g"), "'$1'"],
];

/** What is replaced before and after the pairs, in this order. */
const BEFORE: readonly (readonly [string, string])[] = [
  ["s '", "s'"],
  [" @-@ ", "-"],
  [" @,@ ", ","],
  [" @.@ ", "."],
  [" : ", ": "],
  [" ; ", "; "],
  [" . ", ". "],
  [" ! ", "! "],
  [" ? ", "? "],
  [" , ", ", "],
];
const AFTER: readonly (readonly [string, string])[] = [
  ["= = = =", "===="],
  ["= = =", "==="],
  ["= =", "=="],
  [" \u00b0 ", "\u00b0"],
  [" \n", "\n"],
  ["\n ", "\n"],
  [" N ", " 1 "],
  [" 's", "'s"],
];

/** `wikitext_detokenizer` of `lm_eval/tasks/wikitext`, whose rule about digits never matches. */
export function detokenize(page: string): string {
  let text = page;
  for (const [from, to] of BEFORE) text = text.replaceAll(from, to);
  for (const [from, to] of PAIRS) text = text.replace(from, to);
  for (const [from, to] of AFTER) text = text.replaceAll(from, to);
  return text;
}

/** See the module documentation. */
export const wikitext: TaskFunctions = {
  task: "wikitext",
  fields: {
    "preprocess_wikitext.wikitext_detokenizer": (row) => detokenize(textOf(row, "page")),
  },
  results: {
    "preprocess_wikitext.process_results": (row, [logLikelihood]) => {
      const page = textOf(row, "page");
      const bytes = byteLength(page);
      const sum = Number(logLikelihood);
      return {
        word_perplexity: [sum, countPieces(page)],
        byte_perplexity: [sum, bytes],
        bits_per_byte: [sum, bytes],
      };
    },
  },
};
