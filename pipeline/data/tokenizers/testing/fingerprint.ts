/**
 * What a tokenizer does to many texts, in one line.
 *
 * @module
 */

import { createHash } from "node:crypto";

/** Ids and texts of a tokenizer, which may be one of another program. */
export interface AnyTokenizer {
  encode(text: string, addSpecialTokens: boolean): readonly number[] | Promise<readonly number[]>;
  decode(ids: readonly number[], skipSpecialTokens: boolean): string | Promise<string>;
}

/** SHA-256 of the ids of all texts, with and without special tokens, and of the texts of these ids. */
export async function fingerprint(
  tokenizer: AnyTokenizer,
  texts: readonly string[],
): Promise<string> {
  const hash = createHash("sha256");
  for (const text of texts) {
    for (const special of [true, false]) {
      const ids = [...await tokenizer.encode(text, special)];
      const decoded = ids.length === 0 ? "" : await tokenizer.decode(ids, special);
      hash.update(JSON.stringify([ids, decoded]));
    }
  }
  return hash.digest("hex");
}
