/**
 * Normalizers of `tokenizer.json`, as the crate `tokenizers` defines them (`src/normalizers/`). The
 * library's own differ: `Precompiled` is an approximation there that never reads its character map,
 * Chinese characters beyond U+FFFF are not seen, a capital sigma is lowercased by its context, and
 * texts with `$` are read as patterns.
 *
 * @module
 */

import { spellBytes } from "../byte_characters.ts";
import { CharactersMap } from "../sentencepiece/characters_map.ts";
import { type Component, partsOf, patternOf, unknownType } from "./patterns.ts";

/** Changes a text before it is cut. */
export type Normalize = (text: string) => string;

/**
 * Builds a normalizer; null is none.
 *
 * @throws {Error} If its type is unknown, or it lacks something.
 */
export function createNormalizer(component: Component | null | undefined): Normalize {
  if (component === null || component === undefined) return (text) => text;
  switch (component.type) {
    case "Sequence": {
      const parts = partsOf(component, "normalizers").map(createNormalizer);
      return (text) => parts.reduce((changed, normalize) => normalize(changed), text);
    }
    case "NFC":
    case "NFD":
    case "NFKC":
    case "NFKD": {
      const form = component.type;
      return (text) => text.normalize(form);
    }
    case "Lowercase":
      return lowercase;
    case "StripAccents":
      return (text) => text.replace(/\p{M}/gu, "");
    case "Strip":
      return (text) => {
        const left = component.strip_left ? text.replace(/^\p{White_Space}+/u, "") : text;
        return component.strip_right ? left.replace(/\p{White_Space}+$/u, "") : left;
      };
    case "Prepend":
      return (text) => text === "" ? "" : `${component.prepend ?? ""}${text}`;
    case "Replace": {
      const pattern = patternOf(component);
      const content = String(component.content ?? "");
      return (text) => text.replaceAll(pattern, () => content);
    }
    case "Nmt":
      return (text) => text.replace(NMT_REMOVED, "").replace(NMT_SPACES, " ");
    case "ByteLevel":
      return spellBytes;
    case "BertNormalizer":
      return (text) => normalizeForBert(text, component);
    case "Precompiled":
      return createPrecompiled(component);
    default:
      throw unknownType("normalizer", component);
  }
}

// deno-lint-ignore no-control-regex -- these are the characters that the normalizer is about
const NMT_REMOVED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g;

// deno-lint-ignore no-control-regex -- the same
const NMT_SPACES = /[\u0009\u000a\u000c\u000d\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

/** Lowers every character by itself; only the sigma would depend on its neighbours. */
function lowercase(text: string): string {
  return text.replaceAll("\u03a3", "\u03c3").toLowerCase();
}

/** `\t`, `\n` and `\r` are control characters, but stand for a space here. */
const BERT_REMOVED = /[\0\ufffd]|(?![\t\n\r])[\p{Cc}\p{Cf}\p{Co}]/gu;

/** CJK ideographs, as in BERT's `_is_chinese_char()`. */
const CHINESE =
  /[\u4e00-\u9fff\u3400-\u4dbf\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b820}-\u{2ceaf}\uf900-\ufaff\u{2f800}-\u{2fa1f}]/gu;

function normalizeForBert(text: string, options: Component): string {
  const { clean_text, handle_chinese_chars, lowercase: lowers, strip_accents } = options;
  let changed = text;
  if (clean_text) changed = changed.replace(BERT_REMOVED, "").replace(/\p{White_Space}/gu, " ");
  if (handle_chinese_chars) changed = changed.replace(CHINESE, " $& ");
  if (strip_accents ?? lowers) changed = changed.normalize("NFD").replace(/\p{Mn}/gu, "");
  return lowers ? lowercase(changed) : changed;
}

/**
 * SentencePiece's character map, applied as the crate does: to a whole grapheme of up to five bytes,
 * or else to each of its characters.
 */
function createPrecompiled(component: Component): Normalize {
  const { precompiled_charsmap: encoded } = component;
  if (encoded === null || encoded === undefined) return (text) => text;
  if (typeof encoded !== "string") throw new TypeError("Precompiled has no precompiled_charsmap");
  const map = new CharactersMap(Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0)));
  const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });
  const encoder = new TextEncoder();
  const replaceCharacters = (text: string) =>
    Array.from(text, (character) => map.shortest(character, 0)?.text ?? character).join("");
  const replaceGraphemes = (text: string) =>
    Array.from(graphemes.segment(text), ({ segment }) => {
      const whole = encoder.encode(segment).length < 6 ? map.shortest(segment, 0) : null;
      return whole?.text ?? replaceCharacters(segment);
    }).join("");
  const changesAscii = replaceCharacters(PRINTABLE_ASCII) !== PRINTABLE_ASCII;
  return (text) =>
    text.replace(ASCII_OR_NOT, (run, ascii: string | undefined) => {
      if (ascii === undefined) return replaceGraphemes(run);
      return changesAscii ? replaceCharacters(run) : run;
    });
}

const PRINTABLE_ASCII = String.fromCharCode(...Array.from({ length: 95 }, (_, i) => 32 + i));

/**
 * Runs of printable ASCII, each character a grapheme, and what is between them, with the character
 * that marks may belong to: segmenting is slow, and most of most texts needs none.
 */
const ASCII_OR_NOT = /([ -~]+)(?![^ -~])|[ -~]?[^ -~]+/g;
