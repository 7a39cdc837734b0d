/**
 * Small tokenizers in the form of `tokenizer.json`, with every kind of every part.
 *
 * @module
 */

import { trainByteLevelBpe } from "../../byte_level_bpe.ts";
import type { TokenizerJson } from "../hugging_face/tokenizer_json.ts";
import type { Component } from "../hugging_face/patterns.ts";
import type { AddedToken } from "../added_tokens.ts";
import { BYTE_TOKENS } from "../token_model.ts";
import { AWKWARD_TEXTS, randomTexts, trainingSentences } from "./awkward_texts.ts";

/** What all cases are asked. */
export const CASE_TEXTS: readonly string[] = [
  ...AWKWARD_TEXTS,
  ...randomTexts(300, 5),
  ...trainingSentences(30, 6),
].map((text) => text.toWellFormed());

const NOTHING = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
} as const;

const PLAIN_BPE = {
  type: "BPE",
  dropout: null,
  unk_token: "<unk>",
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
};

const LETTERS = "abcdefghijklmnopqrstuvwxyz";
const WORDS_PATTERN = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}" +
  "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const BEHAVIORS = [
  "Removed",
  "Isolated",
  "MergedWithPrevious",
  "MergedWithNext",
  "Contiguous",
];

const BERT = {
  type: "BertNormalizer",
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
};

/** Normalizers, without `Precompiled`, whose rules are large. */
const NORMALIZERS: readonly Component[] = [
  { type: "NFC" },
  { type: "NFD" },
  { type: "NFKC" },
  { type: "NFKD" },
  { type: "Lowercase" },
  { type: "StripAccents" },
  {
    type: "Sequence",
    normalizers: [{ type: "NFD" }, { type: "StripAccents" }, { type: "Lowercase" }],
  },
  { type: "Strip", strip_left: true, strip_right: true },
  { type: "Strip", strip_left: true, strip_right: false },
  { type: "Prepend", prepend: "\u2581" },
  { type: "Replace", pattern: { String: " " }, content: "\u2581" },
  { type: "Replace", pattern: { Regex: " {2,}" }, content: "$&a" },
  { type: "Nmt" },
  BERT,
  { ...BERT, clean_text: false, strip_accents: true, lowercase: false },
  { ...BERT, handle_chinese_chars: false, strip_accents: false },
];

const METASPACE = {
  type: "Metaspace",
  replacement: "\u2581",
  prepend_scheme: "always",
  split: true,
};

const PRE_TOKENIZERS: readonly Component[] = [
  { type: "Whitespace" },
  { type: "WhitespaceSplit" },
  { type: "BertPreTokenizer" },
  { type: "Digits", individual_digits: true },
  { type: "Digits", individual_digits: false },
  ...BEHAVIORS.map((behavior) => ({ type: "Punctuation", behavior })),
  ...BEHAVIORS.flatMap((behavior) =>
    [false, true].flatMap((invert) => [
      { type: "Split", pattern: { Regex: "\\s+|[0-9]" }, behavior, invert },
      { type: "Split", pattern: { String: "a" }, behavior, invert },
    ])
  ),
  { type: "CharDelimiterSplit", delimiter: " " },
  { type: "FixedLength", length: 3 },
  ...["always", "first", "never"].flatMap((prepend_scheme) =>
    [true, false].map((split) => ({ ...METASPACE, prepend_scheme, split }))
  ),
  {
    type: "Sequence",
    pretokenizers: [{ type: "WhitespaceSplit" }, { ...METASPACE, prepend_scheme: "first" }],
  },
  {
    type: "Sequence",
    pretokenizers: [
      { type: "Punctuation", behavior: "Isolated" },
      { type: "Digits", individual_digits: true },
    ],
  },
  { type: "Split", pattern: { Regex: WORDS_PATTERN }, behavior: "Isolated", invert: false },
];

/** All cases by their names. */
export function tokenizerCases(): Map<string, TokenizerJson> {
  const ends = endsModel();
  const cases = new Map<string, TokenizerJson>();
  for (const [index, normalizer] of NORMALIZERS.entries()) {
    cases.set(`normalizer ${index} ${normalizer.type}`, { ...NOTHING, model: ends, normalizer });
  }
  for (const [index, pre_tokenizer] of PRE_TOKENIZERS.entries()) {
    const name = `pre-tokenizer ${index} ${pre_tokenizer.type}`;
    cases.set(name, { ...NOTHING, model: ends, pre_tokenizer });
  }
  const more = { ...byteLevelCases(), ...spaceSymbolCases(), ...subwordCases() };
  for (const [name, json] of Object.entries(more)) cases.set(name, json);
  return cases;
}

/** Every character is a token, and another one where it ends a piece: shows where pieces end. */
function endsModel(): Component {
  const characters = new Set<string>("\u2581");
  for (const text of CASE_TEXTS) {
    const forms = [
      text,
      text.normalize("NFKC"),
      text.normalize("NFKD"),
      text.toLowerCase(),
      text.normalize("NFD").toLowerCase(),
      text.replaceAll("\u03a3", "\u03c3"),
    ];
    for (const form of forms) for (const character of form) characters.add(character);
  }
  const tokens = ["<unk>", ...[...characters].sort()];
  const vocab = idsOf([...tokens, ...tokens.map((token) => `${token}</w>`)]);
  return { ...PLAIN_BPE, end_of_word_suffix: "</w>", vocab, merges: [] };
}

function byteLevelCases(): Record<string, TokenizerJson> {
  const files = trainByteLevelBpe(trainingSentences(300, 4), { vocabSize: 500 });
  const json = files.tokenizer as TokenizerJson & { readonly added_tokens: AddedToken[] };
  const byteLevel = { type: "ByteLevel", trim_offsets: true, use_regex: true };
  const vocab = { ...json.model?.vocab as object, "\u0120woods": 500, "story": 501 };
  const model: Component = { ...PLAIN_BPE, ...json.model, vocab, ignore_merges: true };
  return {
    "byte level": json,
    "byte level with prefix": { ...json, pre_tokenizer: { ...byteLevel, add_prefix_space: true } },
    "byte level without words": {
      ...json,
      pre_tokenizer: { ...byteLevel, add_prefix_space: false, use_regex: false },
    },
    "byte level as normalizer": {
      ...json,
      normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "ByteLevel" }] },
      pre_tokenizer: null,
    },
    "byte level, whole tokens": { ...json, model },
    "added tokens": {
      ...json,
      added_tokens: [
        ...json.added_tokens,
        special(500, "<sep>", { lstrip: true, rstrip: true }),
        special(501, "upon a", { single_word: true, special: false, normalized: true }),
        special(502, "  ", { special: false, normalized: true }),
        special(503, "<s>"),
        special(504, "</s>", { rstrip: true }),
        special(505, "<unk>", { lstrip: true }),
        special(506, "time", { single_word: true }),
        special(507, "c,", { single_word: true }),
      ],
    },
    "added tokens in normalized texts": {
      ...json,
      normalizer: { type: "Lowercase" },
      added_tokens: [
        ...json.added_tokens,
        special(500, "<SEP>", { normalized: true }),
        special(501, "UPON A", { normalized: true, single_word: true }),
        special(502, "Once u"),
      ],
    },
  };
}

/** As LLaMA's: `\u2581` for a space, and bytes for what is no token. */
function spaceSymbolCases(): Record<string, TokenizerJson> {
  const { tokens, merges } = trainSpaceSymbolBpe();
  const text = { Sequence: { id: "A", type_id: 0 } };
  const around = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const decoder = {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "\u2581" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  };
  const vocab = idsOf(["<unk>", "<s>", "</s>", ...BYTE_TOKENS, ...tokens]);
  const bytes = { ...PLAIN_BPE, vocab, merges, byte_fallback: true, fuse_unk: true };
  const prepending: TokenizerJson = {
    ...NOTHING,
    added_tokens: [
      special(0, "<unk>", { normalized: true }),
      special(1, "<s>"),
      special(2, "</s>"),
    ],
    decoder,
    model: bytes,
    normalizer: {
      type: "Sequence",
      normalizers: [
        { type: "Prepend", prepend: "\u2581" },
        { type: "Replace", pattern: { String: " " }, content: "\u2581" },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: [around("<s>"), text, around("</s>")],
      pair: [text, { Sequence: { id: "B", type_id: 0 } }],
      special_tokens: {
        "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] },
        "</s>": { id: "</s>", ids: [2], tokens: ["</s>"] },
      },
    },
  };
  const first = { ...METASPACE, prepend_scheme: "first", split: false };
  const metaspace = { ...prepending, normalizer: null, pre_tokenizer: first, post_processor: null };
  const known = ["<unk>", "<s>", "</s>", ...tokens].map((token, index) => [
    token,
    index < 3 ? 0 : -Math.log(index + 20),
  ]);
  const rare = BYTE_TOKENS.map((token) => [token, -20]);
  const unigram = {
    ...metaspace,
    pre_tokenizer: METASPACE,
    decoder: METASPACE,
    model: { type: "Unigram", unk_id: 0, vocab: known, byte_fallback: false },
  };
  return {
    "BPE with bytes": prepending,
    "BPE with joined unknowns": { ...prepending, model: { ...bytes, byte_fallback: false } },
    "BPE with unknowns": {
      ...prepending,
      model: { ...bytes, byte_fallback: false, fuse_unk: false },
    },
    "BPE with Metaspace": metaspace,
    "decoder Metaspace": { ...metaspace, decoder: METASPACE },
    "decoder Metaspace, never": {
      ...metaspace,
      decoder: { ...METASPACE, prepend_scheme: "never" },
    },
    "no decoder": { ...metaspace, decoder: null },
    "Unigram": unigram,
    "Unigram over words": { ...unigram, pre_tokenizer: { ...METASPACE, split: false } },
    "Unigram with bytes": {
      ...unigram,
      decoder,
      model: { type: "Unigram", unk_id: 0, vocab: [...known, ...rare], byte_fallback: true },
    },
  };
}

function subwordCases(): Record<string, TokenizerJson> {
  const letters = [...LETTERS];
  const vocab = idsOf([
    ...["<unk>", ...letters, ...letters.map((letter) => `##${letter}`)],
    ...["th", "the", "##er", "##ed", "##in", "##ing", "##ng"],
  ]);
  const merges = ["t ##h", "th ##e", "##e ##r", "##e ##d", "##n ##g", "##i ##ng", "##i ##n"];
  const decoder = { type: "WordPiece", prefix: "##", cleanup: true };
  const known = idsOf(["<unk>", "Once", "upon", "a", ".", "fox"]);
  return {
    "BPE with prefixes": {
      ...NOTHING,
      pre_tokenizer: { type: "Whitespace" },
      model: { ...PLAIN_BPE, continuing_subword_prefix: "##", vocab, merges },
      decoder,
    },
    "WordPiece": {
      ...NOTHING,
      normalizer: BERT,
      pre_tokenizer: { type: "BertPreTokenizer" },
      model: {
        type: "WordPiece",
        unk_token: "<unk>",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 20,
        vocab,
      },
      decoder,
      post_processor: { type: "BertProcessing", sep: ["a", 1], cls: ["b", 2] },
    },
    "WordLevel": {
      ...NOTHING,
      pre_tokenizer: { type: "Whitespace" },
      model: { type: "WordLevel", unk_token: "<unk>", vocab: known },
    },
  };
}

/** Two hundred merges of the most frequent pairs, counted again for each. */
function trainSpaceSymbolBpe(): { readonly tokens: string[]; readonly merges: string[] } {
  const tokens = [..."\u2581", ...LETTERS, ..."., !"];
  const merges: string[] = [];
  let texts = trainingSentences(200, 9).map((
    text,
  ) => [...`\u2581${text.replaceAll(" ", "\u2581")}`]);
  for (let merge = 0; merge < 200; merge++) {
    const counts = new Map<string, number>();
    for (const text of texts) {
      for (const [index, right] of text.entries()) {
        const left = text[index - 1] ?? "";
        if (!tokens.includes(left) || !tokens.includes(right)) continue;
        counts.set(`${left} ${right}`, (counts.get(`${left} ${right}`) ?? 0) + 1);
      }
    }
    const [[best = ""] = []] = [...counts].sort(([one, many], [other, more]) =>
      more - many || (one < other ? -1 : 1)
    );
    const [left = "", right = ""] = best.split(" ");
    merges.push(best);
    if (!tokens.includes(left + right)) tokens.push(left + right);
    texts = texts.map((text) => joinPairs(text, left, right));
  }
  return { tokens, merges };
}

function joinPairs(text: readonly string[], left: string, right: string): string[] {
  const joined: string[] = [];
  for (let index = 0; index < text.length; index++) {
    const isPair = text[index] === left && text[index + 1] === right;
    joined.push(isPair ? left + right : text[index] ?? "");
    if (isPair) index++;
  }
  return joined;
}

function special(id: number, content: string, flags: Partial<AddedToken> = {}): AddedToken {
  const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  return { id, content, ...plain, special: true, ...flags };
}

function idsOf(tokens: readonly string[]): Record<string, number> {
  return Object.fromEntries(tokens.map((token, id) => [token, id]));
}
