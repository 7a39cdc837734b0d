/**
 * HellaSwag as plain text, six lines an item: the cleaned context, the number of the right ending, and
 * four endings. Programs around llama.cpp read it (`llama-perplexity --hellaswag`).
 *
 * @module
 */

import { readLines } from "../../data/tables/lines.ts";
import type { Row } from "../../data/tables/row.ts";

const LINES = 6;
const ENDINGS = LINES - 2;

/**
 * The items of a file, compressed or not. Their contexts are as the file has them: `query`, not the
 * columns that it was made of.
 *
 * @param refuse Is told of an item that is not one; it throws, or the item is left out.
 */
export async function* readHellaswagText(
  path: string,
  refuse: (place: string, message: string) => void,
): AsyncGenerator<Row> {
  let lines: string[] = [];
  let place = "";
  for await (const { text, number } of readLines(path)) {
    if (lines.length === 0) place = `${path}:${number}`;
    lines.push(text);
    if (lines.length < LINES) continue;
    const [query = "", label = "", ...choices] = lines;
    lines = [];
    if (!/^[0-3]$/.test(label)) {
      refuse(place, `the second line of an item must be 0 to ${ENDINGS - 1}: found "${label}"`);
    } else yield { fields: { query, label, choices }, place };
  }
  if (lines.length > 0) refuse(place, `an item has ${LINES} lines: found ${lines.length}`);
}
