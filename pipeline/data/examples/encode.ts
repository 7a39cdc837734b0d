/**
 * From a text with marks to tokens with targets, checked: something is learned, and so is where to
 * stop.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Example } from "../dataset.ts";
import { BadRow } from "../importers/bad_row.ts";
import type { MarkedText } from "../templates/marked_text.ts";
import type { Tokenizer } from "../tokenizer.ts";
import { withEnd } from "../text.ts";
import { concatenate } from "../text_windows.ts";

/** Prompt and completion as texts of their own. */
export interface Halves {
  /** What is read. */
  readonly prompt: string;
  /** What is learned. */
  readonly completion: string;
}

/** Lengths of prompts and completions that are cut on their own, in tokens. */
export interface HalfLengths {
  /** Of the longest prompt, with BOS. */
  readonly prompt: number;
  /** Of the longest completion, with EOS. */
  readonly completion: number;
}

/**
 * Tokens of a text, as one text. What is learned of it begins with the first token that differs from
 * the text before it, tokenized alone, so that a token that joins both is learned.
 *
 * @param endsWithEos Whether a row without a token that ends its last turn gets EOS, and every turn
 * must have one.
 * @throws {BadRow} If nothing is learned, or a turn has no end.
 * @throws {UserError} If EOS is wanted and the tokenizer names none.
 */
export function encodeMarked(
  { text, learned, hasSpecialTokens }: MarkedText,
  tokenizer: Tokenizer,
  endsWithEos: boolean,
): Example {
  const encode = (part: string) =>
    hasSpecialTokens ? tokenizer.encodeWithoutSpecialTokens(part) : tokenizer.encode(part);
  if (learned.every(({ start, end }) => start === end)) {
    throw new BadRow("the completion is empty: there is nothing to learn");
  }
  const isOpen = learned.at(-1)?.isClosed === false;
  const endless = learned.findIndex(({ isClosed, tokenBehind }, index) =>
    !isClosed && (index < learned.length - 1 || tokenBehind !== null)
  );
  if (endsWithEos && endless !== -1) throw endlessTurn(endless, learned[endless]?.tokenBehind);
  const ids = encode(text);
  const tokens = endsWithEos && isOpen ? withEnd(ids, eosOf(tokenizer)) : ids;
  const targets = new Uint8Array(tokens.length);
  const offsets = learned.flatMap(({ start, end }) => [start, end]);
  const positions = positionsOf(offsets, text, ids, encode);
  learned.forEach(({ end }, index) => {
    const last = end === text.length ? tokens.length : positions[2 * index + 1];
    targets.fill(1, Math.max(1, positions[2 * index] ?? 0), last);
  });
  return { tokens, targets };
}

/**
 * Numbers of the tokens that begin at offsets of a text, or of those that join what stands on both
 * sides.
 */
function positionsOf(
  offsets: readonly number[],
  text: string,
  ids: Uint32Array,
  encode: (part: string) => Uint32Array,
): number[] {
  // With many offsets, prefixes are far longer than the text; parts that together make the same
  // tokens say where each begins.
  if (offsets.length > 2) {
    const parts = [0, ...offsets].map((start, index) => encode(text.slice(start, offsets[index])));
    const lengths = parts.map(({ length }) => length);
    if (concatenate(parts).every((id, index) => id === ids[index])) {
      return offsets.map((_, index) =>
        lengths.slice(0, index + 1).reduce((sum, length) => sum + length, 0)
      );
    }
  }
  return offsets.map((offset) => agreement(encode(text.slice(0, offset)), ids));
}

/**
 * Tokens of a prompt and of its completion, each tokenized and cut on its own, as QLoRA's code does
 * (`source_max_len`, `target_max_len`); and how many there were before.
 *
 * @throws As {@linkcode encodeMarked}.
 */
export function encodeHalves(
  { prompt, completion }: Halves,
  tokenizer: Tokenizer,
  endsWithEos: boolean,
  lengths: HalfLengths,
): { readonly example: Example; readonly tokens: number } {
  if (completion === "") throw new BadRow("the completion is empty: there is nothing to learn");
  const read = tokenizer.encode(prompt);
  const ids = tokenizer.encodeWithoutSpecialTokens(completion);
  const learned = endsWithEos ? withEnd(ids, eosOf(tokenizer)) : ids;
  const start = Math.min(read.length, lengths.prompt);
  const length = start + Math.min(learned.length, lengths.completion);
  const tokens = new Uint32Array(length);
  tokens.set(read.subarray(0, start));
  tokens.set(learned.subarray(0, length - start), start);
  const targets = new Uint8Array(length).fill(1, Math.max(1, start));
  return { example: { tokens, targets }, tokens: read.length + learned.length };
}

/**
 * The first `length` tokens of a row.
 *
 * @throws {BadRow} If there is nothing to learn in them.
 */
export function cutExample({ tokens, targets }: Example, length: number): Example {
  const kept = targets.subarray(0, length);
  if (!kept.includes(1)) {
    throw new BadRow(
      targets.includes(1)
        ? `the prompt takes all ${length} tokens of a row: there is nothing to learn`
        : "the row is a single token: there is nothing to learn",
    );
  }
  return { tokens: tokens.subarray(0, length), targets: kept };
}

function endlessTurn(index: number, token: string | null | undefined): BadRow {
  return new BadRow(
    `what is learned in turn ${
      index + 1
    } does not end with a special token, so that the model would ` +
      `not learn to stop; in the chat template, put ${
        token === null || token === undefined ? "{{ eos_token }}" : `the ${token} that follows`
      } into {% generation %}, or right behind the reply where it has none, or set eos: false`,
  );
}

/** How many tokens two beginnings have in common. */
function agreement(beginning: Uint32Array, tokens: Uint32Array): number {
  const differing = beginning.findIndex((id, index) => id !== tokens[index]);
  return differing === -1 ? beginning.length : differing;
}

function eosOf({ eosId }: Tokenizer): number {
  if (eosId !== null) return eosId;
  throw new UserError(
    "Completions end with EOS, but the tokenizer_config.json of the model names no eos_token; " +
      "set eos: false",
  );
}
