/**
 * Perplexity of fine-tuned models as LoftQ and ApiQ report it, by `run_clm.py` of Hugging Face
 * Transformers: every row is tokenized alone, with its own BOS where the tokenizer adds one; what 1000
 * rows give is cut into blocks, and what is left over of it dropped.
 *
 * @module
 */

import { concatenate } from "../../data/text_windows.ts";
import { UserError } from "../../errors.ts";
import { wikitextRow } from "./gptq.ts";
import { windowPerplexity } from "./measure.ts";
import type { RowProtocol } from "./protocol.ts";
import { readTexts } from "./row_data.ts";
import { wholeWindows } from "./windows.ts";

/** Rows of a batch of `datasets.Dataset.map`. */
const MAP_BATCH = 1000;

/** See the module documentation. */
export const runClm: RowProtocol = {
  name: "run_clm",
  summary: "each row tokenized alone, blocks of 1024 within batches of 1000 rows (LoftQ, ApiQ)",
  window: 1024,
  async plan({ data, tokenizer, window, resolve }) {
    const { texts, plain, skipped } = await readTexts(data, "text", resolve);
    const lines = (plain ? texts.map(wikitextRow) : texts).map((text) => tokenizer.encode(text));
    const rows = [];
    for (let first = 0; first < lines.length; first += MAP_BATCH) {
      rows.push(...wholeWindows(concatenate(lines.slice(first, first + MAP_BATCH)), window));
    }
    if (rows.length === 0) {
      throw new UserError(
        `The data ${[data.rows].flat().join(", ")} has no ${window} tokens within ${MAP_BATCH} ` +
          `consecutive rows, a block; set a smaller window, or add rows`,
      );
    }
    const name = `run_clm-${window}`;
    return { rows, name, skipped, measure: (losses) => windowPerplexity(losses, name) };
  },
};
