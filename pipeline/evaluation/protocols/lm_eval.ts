/**
 * Perplexity of words and bytes as the task `wikitext` of lm-evaluation-harness measures it: whole
 * pages, put together from words and signs, in rolling windows in which every token is scored; the
 * divisor is the words or bytes of the page as it was.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Metric } from "../../graph/stage.ts";
import { checkLosses, errorOf, ratio } from "./measure.ts";
import type { ProtocolInput, RowProtocol } from "./protocol.ts";
import { readTexts } from "./row_data.ts";
import { detokenize } from "../tasks/functions/wikitext.ts";
import { pageSize, splitPages } from "./wikitext.ts";
import { rollingWindows } from "./windows.ts";

/** See the module documentation. */
export const lmEval: RowProtocol = {
  name: "lm_eval",
  summary: "word and byte perplexity of whole pages in rolling windows (lm-evaluation-harness)",
  window: null,
  async plan({ data, tokenizer, window, addBosToken, resolve }) {
    const { texts, plain, skipped } = await readTexts(data, "page", resolve);
    const pages = plain ? splitPages(texts.join("")) : texts;
    const prefix = prefixOf(tokenizer);
    const rowsOf = pages.map((page) => {
      const text = detokenize(page);
      const ids = addBosToken ? tokenizer.encode(text) : tokenizer.encodeWithoutSpecialTokens(text);
      return rollingWindows(ids, prefix, window);
    });
    // What BOS is added to changes the number from version to version of the harness.
    const name = `lm_eval-${window}${addBosToken ? "" : "-no_bos"}`;
    const sizes = pages.map(pageSize);
    return {
      rows: rowsOf.flat(),
      name,
      skipped,
      measure(losses) {
        let first = 0;
        const sums = rowsOf.map(({ length }) => {
          const page = losses.slice(first, first += length).flat();
          return page.reduce((sum, loss) => sum + loss, 0);
        });
        checkLosses(sums, name);
        return {
          ...perplexities(sums, sizes, name),
          tokens: { value: losses.reduce((sum, row) => sum + row.length, 0) },
          windows: { value: losses.length },
        };
      },
    };
  },
};

function perplexities(
  sums: readonly number[],
  sizes: readonly { readonly words: number; readonly bytes: number }[],
  protocol: string,
): Readonly<Record<string, Metric>> {
  const words = ratio(sums, sizes.map((size) => size.words));
  const bytes = ratio(sums, sizes.map((size) => size.bytes));
  const [word, byte] = [Math.exp(words.value), Math.exp(bytes.value)];
  return {
    word_perplexity: { value: word, ...errorOf(words.standardError, word), protocol },
    byte_perplexity: { value: byte, ...errorOf(bytes.standardError, byte), protocol },
    bits_per_byte: {
      value: bytes.value / Math.LN2,
      ...errorOf(bytes.standardError, 1 / Math.LN2),
      protocol,
    },
    words: { value: sizes.reduce((sum, size) => sum + size.words, 0) },
    bytes: { value: sizes.reduce((sum, size) => sum + size.bytes, 0) },
  };
}

/** What stands before the first token: BOS, or EOS of a model without. */
function prefixOf({ bosId, eosId }: ProtocolInput["tokenizer"]): number {
  const prefix = bosId ?? eosId;
  if (prefix !== null) return prefix;
  throw new UserError(
    "The protocol lm_eval scores the first token of a page after BOS or EOS, but the " +
      "tokenizer_config.json of the model names neither; add bos_token there",
  );
}
