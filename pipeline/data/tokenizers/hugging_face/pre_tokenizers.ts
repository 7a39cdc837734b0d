/**
 * Pre-tokenizers of `tokenizer.json`, as the crate `tokenizers` defines them
 * (`src/pre_tokenizers/`). The library's own differ: `Split` knows two of five behaviors, `Metaspace`
 * does not split, `Punctuation` joins marks, `Digits` and `Whitespace` know ASCII only, and spaces are
 * those of JavaScript (with U+FEFF and without U+0085).
 *
 * @module
 */

import { spellBytes } from "../byte_characters.ts";
import { type Component, partsOf, patternOf, unknownType } from "./patterns.ts";

/**
 * Cuts pieces of a text into smaller ones.
 *
 * @param isStart Whether the first piece is the start of the text that the user gave.
 */
export type PreTokenize = (pieces: readonly string[], isStart: boolean) => string[];

/** What becomes of the matches of a pattern (`SplitDelimiterBehavior` of the crate). */
type Behavior = "removed" | "isolated" | "mergedwithprevious" | "mergedwithnext" | "contiguous";

const BEHAVIORS: readonly string[] = [
  "removed",
  "isolated",
  "mergedwithprevious",
  "mergedwithnext",
  "contiguous",
] satisfies Behavior[];

/** How GPT-2 cuts text into words (`encoder.py` of openai/gpt-2), with Unicode's white space. */
const GPT2_WORDS =
  /'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
const WHITE_SPACE = /\p{White_Space}/gu;
const WORDS =
  /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]+|[^\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}\p{White_Space}]+/gu;

/**
 * Builds a pre-tokenizer; null is none.
 *
 * @throws {Error} If its type is unknown, or it lacks something.
 */
export function createPreTokenizer(component: Component | null | undefined): PreTokenize {
  if (component === null || component === undefined) return (pieces) => [...pieces];
  switch (component.type) {
    case "Sequence": {
      const parts = partsOf(component, "pretokenizers").map(createPreTokenizer);
      return (pieces, isStart) =>
        parts.reduce((cut, part) => part(cut, isStart && startsLike(pieces, cut)), [...pieces]);
    }
    case "ByteLevel":
      return createByteLevel(component);
    case "Metaspace":
      return createMetaspace(component);
    case "Split":
      return createSplit(component);
    case "Whitespace":
      return each((piece) => split(piece, WORDS, "removed", true));
    case "WhitespaceSplit":
      return each((piece) => split(piece, WHITE_SPACE, "removed"));
    case "BertPreTokenizer":
      return each((piece) =>
        split(piece, WHITE_SPACE, "removed").flatMap((word) => split(word, PUNCTUATION, "isolated"))
      );
    case "Punctuation": {
      const behavior = behaviorOf(component, "isolated");
      return each((piece) => split(piece, PUNCTUATION, behavior));
    }
    case "Digits": {
      const behavior = component.individual_digits ? "isolated" : "contiguous";
      return each((piece) => split(piece, /\p{N}/gu, behavior));
    }
    case "CharDelimiterSplit": {
      const delimiter = String(component.delimiter);
      return each((piece) => piece.split(delimiter).filter((part) => part !== ""));
    }
    case "FixedLength": {
      const length = Number(component.length);
      if (!(length >= 1)) throw new RangeError(`FixedLength has the length ${component.length}`);
      const pattern = new RegExp(`[^]{1,${length}}`, "gu");
      return each((piece) => piece.match(pattern) ?? []);
    }
    default:
      throw unknownType("pre-tokenizer", component);
  }
}

/**
 * Cuts a text at the matches of a pattern; empty pieces are dropped.
 *
 * @param invert Exchanges matches and what lies between them.
 */
export function split(text: string, pattern: RegExp, behavior: Behavior, invert = false): string[] {
  const parts: { readonly text: string; readonly matches: boolean }[] = [];
  const add = (start: number, end: number, matches: boolean) => {
    if (end > start) parts.push({ text: text.slice(start, end), matches: matches !== invert });
  };
  let end = 0;
  for (const match of text.matchAll(pattern)) {
    add(end, match.index, false);
    end = match.index + match[0].length;
    add(match.index, end, true);
  }
  add(end, text.length, false);
  if (behavior === "isolated") return parts.map(({ text }) => text);
  if (behavior === "removed") return parts.filter((part) => !part.matches).map(({ text }) => text);
  const joins = {
    mergedwithprevious: (before: boolean, here: boolean) => !before && here,
    mergedwithnext: (before: boolean, here: boolean) => before && !here,
    contiguous: (before: boolean, here: boolean) => before === here,
  }[behavior];
  const pieces: string[] = [];
  for (const [index, part] of parts.entries()) {
    const before = parts[index - 1];
    if (before !== undefined && joins(before.matches, part.matches)) {
      pieces.push(pieces.pop() + part.text);
    } else {
      pieces.push(part.text);
    }
  }
  return pieces;
}

/** Whether nothing was taken away from the start of the first piece. */
function startsLike([before = ""]: readonly string[], [after = ""]: readonly string[]): boolean {
  return before.startsWith(after);
}

function each(cut: (piece: string) => string[]): PreTokenize {
  return (pieces) => pieces.flatMap(cut);
}

function behaviorOf(component: Component, otherwise: Behavior): Behavior {
  const behavior = String(component.behavior ?? otherwise).toLowerCase();
  if (!BEHAVIORS.includes(behavior)) {
    throw new RangeError(`${component.type} has the unknown behavior ${component.behavior}`);
  }
  return behavior as Behavior;
}

function createByteLevel(component: Component): PreTokenize {
  const { add_prefix_space, use_regex } = component;
  return each((piece) => {
    const text = add_prefix_space && !piece.startsWith(" ") ? ` ${piece}` : piece;
    return use_regex ?? true ? (text.match(GPT2_WORDS) ?? []).map(spellBytes) : [spellBytes(text)];
  });
}

function createSplit(component: Component): PreTokenize {
  const pattern = patternOf(component);
  const behavior = behaviorOf(component, "isolated");
  return each((piece) => split(piece, pattern, behavior, component.invert === true));
}

/** SentencePiece's spaces: every word begins with one, written as `▁`. */
function createMetaspace(component: Component): PreTokenize {
  const { replacement = "\u2581", add_prefix_space, split: splits = true } = component;
  const space = String(replacement);
  const scheme = component.prepend_scheme ?? (add_prefix_space === false ? "never" : "always");
  return (pieces, isStart) =>
    pieces.flatMap((piece, index) => {
      const spaced = piece.replaceAll(" ", space);
      const prepends = scheme === "always" || (scheme === "first" && isStart && index === 0);
      const text = prepends && !spaced.startsWith(space) ? space + spaced : spaced;
      return splits ? splitBefore(text, space) : [text];
    });
}

/** Cuts before every `delimiter`: what `mergedwithnext` does where matches are single. */
function splitBefore(text: string, delimiter: string): string[] {
  const pieces: string[] = [];
  let start = 0;
  for (
    let next = text.indexOf(delimiter, 1);
    next >= 0;
    next = text.indexOf(delimiter, next + 1)
  ) {
    pieces.push(text.slice(start, next));
    start = next;
  }
  if (start < text.length) pieces.push(text.slice(start));
  return pieces;
}
