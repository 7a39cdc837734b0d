/**
 * Perplexity as papers of quantization report it, after the code of GPTQ (Frantar et al. 2022,
 * `datautils.py` and `opt_eval`): texts joined and tokenized once, disjoint windows, what is left over
 * dropped, the first token of a window never scored.
 *
 * What is joined differs from paper to paper under one name of a dataset: {@linkcode SELECTIONS}.
 *
 * @module
 */

import { concatenate } from "../../data/text_windows.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { strip } from "../python/text.ts";
import { PythonRandom } from "../random/python_random.ts";
import { windowPerplexity } from "./measure.ts";
import type { RowProtocol, Selection } from "./protocol.ts";
import { readTexts } from "./row_data.ts";
import { wholeWindows } from "./windows.ts";

/** Windows of C4. */
const C4_WINDOWS = 256;

/** Documents of C4 from which its new selection takes them. */
const C4_DOCUMENTS = 1100;

/** How a dataset becomes one stream of tokens. */
interface Stream {
  /** Its column of text in tables on the Hub. */
  readonly column: string;
  /** A row of that table, of a line of the dataset's own file. */
  readonly row: (line: string) => string;
  readonly tokens: (texts: readonly string[], tokenizer: Tokenizer, window: number) => Uint32Array;
}

const withoutNewline = (line: string) => line.replace(/\r?\n$/, "");

const STREAMS: Readonly<Record<Selection, Stream>> = {
  wikitext2: {
    column: "text",
    row: wikitextRow,
    tokens: (texts, tokenizer) => tokenizer.encode(texts.join("\n\n")),
  },
  ptb: {
    column: "sentence",
    row: (line) => strip(line),
    tokens: (texts, tokenizer) => tokenizer.encode(texts.join("\n\n")),
  },
  ptb_new: {
    column: "sentence",
    row: (line) => strip(line),
    tokens: (texts, tokenizer) => tokenizer.encode(texts.join(" ")),
  },
  c4: { column: "text", row: withoutNewline, tokens: drawnWindows },
  c4_new: {
    column: "text",
    row: withoutNewline,
    tokens: (texts, tokenizer, window) =>
      tokenizer.encode(texts.slice(0, C4_DOCUMENTS).join(" ")).subarray(0, C4_WINDOWS * window),
  },
};

/** See the module documentation. */
export const gptq: RowProtocol = {
  name: "gptq",
  summary: "rows joined, tokenized once, disjoint windows of 2048, mean of their means (GPTQ)",
  window: 2048,
  async plan({ data, tokenizer, window, selection, resolve }) {
    const { column, row, tokens } = STREAMS[selection];
    const { texts, plain, skipped } = await readTexts(data, column, resolve);
    const stream = tokens(plain ? texts.map(row) : texts, tokenizer, window);
    const rows = wholeWindows(stream, window);
    if (rows.length === 0) {
      throw new UserError(
        `The data ${
          [data.rows].flat().join(", ")
        } has ${stream.length} tokens, less than one window ` +
          `of ${window}; set a smaller window, or add rows`,
      );
    }
    const name = `gptq-${selection === "wikitext2" ? "" : `${selection}-`}${window}`;
    return { rows, name, skipped, measure: (losses) => windowPerplexity(losses, name) };
  },
};

/** A row of WikiText on the Hub: a line with its newline, "" for one of white space. */
export function wikitextRow(line: string): string {
  return strip(line) === "" ? "" : line;
}

/**
 * The 256 windows that GPTQ draws from C4 with Python's generator, seeded with 0: a document that is
 * long enough, then a place in it. A document of exactly one window is taken whole; the original stops
 * there with an error.
 *
 * @throws {UserError} If no document has as many tokens as a window.
 */
export function drawnWindows(
  texts: readonly string[],
  tokenizer: Tokenizer,
  window: number,
): Uint32Array {
  const random = new PythonRandom(0);
  const short = new Set<number>();
  const windows: Uint32Array[] = [];
  while (windows.length < C4_WINDOWS) {
    const index = random.integer(0, texts.length - 1);
    if (short.has(index)) continue;
    const document = tokenizer.encode(texts[index] ?? "");
    if (document.length < window) {
      short.add(index);
      if (short.size < texts.length) continue;
      throw new UserError(
        `None of the ${texts.length} documents has ${window} tokens, a window; give documents of C4, ` +
          `or set a smaller window`,
      );
    }
    const start = document.length === window ? 0 : random.integer(0, document.length - window - 1);
    windows.push(document.subarray(start, start + window));
  }
  return concatenate(windows);
}
