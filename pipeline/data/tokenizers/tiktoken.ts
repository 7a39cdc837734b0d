/**
 * Vocabularies in the format of tiktoken: lines of a token in base64 and its rank. Llama 3's
 * `original/tokenizer.model` is one, Qwen's `qwen.tiktoken` and OpenAI's `*.tiktoken`. Pattern and
 * special tokens are not in such a file; they are known for published vocabularies.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { AddedToken } from "./added_tokens.ts";
import { spell } from "./byte_characters.ts";
import { BytePairModel, mergesOfRanks, PLAIN_BYTE_PAIRS } from "./hugging_face/byte_pair_model.ts";
import { JsonTokenizer, type TokenizerJson } from "./hugging_face/tokenizer_json.ts";
import type { TokenizerConfig } from "./tokenizer_config.ts";

/** What a vocabulary leaves open. */
interface Encoding {
  readonly name: string;
  /** Ranks in the file, by which the vocabulary is recognized. */
  readonly size: number;
  /** How words are cut, in Oniguruma's syntax. */
  readonly pattern: string;
  /** Special tokens; their ids follow the ranks, unless there is an id. */
  readonly special: readonly (string | readonly [string, number])[];
  readonly bos: string | null;
  readonly eos: string;
  /** Whether BOS is put before texts. */
  readonly addsBos: boolean;
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const LETTERS_DIGITS = "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}";
const OTHERS = "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** `cl100k_base` of tiktoken (`openai_public.py`), which Llama 3 took over. */
const CL100K_PATTERN = `${CONTRACTIONS}${LETTERS_DIGITS}{1,3}${OTHERS}`;

/** `o200k_base` of tiktoken: words in camel case are cut, endings stay with their word. */
const O200K_PATTERN = [
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+` +
  `${CONTRACTIONS}?`,
  `[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*` +
  `${CONTRACTIONS}?`,
  "\\p{N}{1,3}",
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*",
  "\\s*[\\r\\n]+",
  "\\s+(?!\\S)",
  "\\s+",
].join("|");

/** `r50k_base` of tiktoken, the words of GPT-2. */
const R50K_PATTERN =
  "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const reserved = (first: number, last: number, prefix: string) =>
  Array.from({ length: last - first + 1 }, (_, index) => `<|${prefix}_${first + index}|>`);

/** Sources: `openai_public.py` of tiktoken, `tokenizer.py` of Llama 3, `tokenization_qwen.py`. */
const ENCODINGS: readonly Encoding[] = [
  {
    name: "Llama 3",
    size: 128_000,
    pattern: CL100K_PATTERN,
    special: [
      "<|begin_of_text|>",
      "<|end_of_text|>",
      ...reserved(0, 3, "reserved_special_token"),
      "<|start_header_id|>",
      "<|end_header_id|>",
      "<|reserved_special_token_4|>",
      "<|eot_id|>",
      ...reserved(5, 250, "reserved_special_token"),
    ],
    bos: "<|begin_of_text|>",
    eos: "<|end_of_text|>",
    addsBos: true,
  },
  {
    name: "Qwen",
    size: 151_643,
    pattern: `${CONTRACTIONS}${LETTERS_DIGITS}${OTHERS}`,
    special: ["<|endoftext|>", "<|im_start|>", "<|im_end|>", ...reserved(0, 204, "extra")],
    bos: null,
    eos: "<|endoftext|>",
    addsBos: false,
  },
  {
    name: "cl100k_base",
    size: 100_256,
    pattern: CL100K_PATTERN,
    special: [
      ["<|endoftext|>", 100_257],
      ["<|fim_prefix|>", 100_258],
      ["<|fim_middle|>", 100_259],
      ["<|fim_suffix|>", 100_260],
      ["<|endofprompt|>", 100_276],
    ],
    bos: null,
    eos: "<|endoftext|>",
    addsBos: false,
  },
  {
    name: "o200k_base",
    size: 199_998,
    pattern: O200K_PATTERN,
    special: [["<|endoftext|>", 199_999], ["<|endofprompt|>", 200_018]],
    bos: null,
    eos: "<|endoftext|>",
    addsBos: false,
  },
  {
    name: "r50k_base",
    size: 50_256,
    pattern: R50K_PATTERN,
    special: ["<|endoftext|>"],
    bos: null,
    eos: "<|endoftext|>",
    addsBos: false,
  },
  {
    name: "p50k_base",
    size: 50_280,
    pattern: R50K_PATTERN,
    special: [["<|endoftext|>", 50_256]],
    bos: null,
    eos: "<|endoftext|>",
    addsBos: false,
  },
];

/** Whether a file begins as one of tiktoken does; a SentencePiece model begins with a line feed. */
export function isTiktoken(bytes: Uint8Array): boolean {
  const start = new TextDecoder("latin1").decode(bytes.subarray(0, 256));
  return /^[A-Za-z0-9+/]+=* [0-9]+\r?(\n|$)/.test(start);
}

/**
 * Builds the tokenizer of a tiktoken file.
 *
 * @param config Names BOS, EOS and padding, where they are not those of the vocabulary.
 * @param added Tokens beyond those that are known.
 * @param name What to call the file in messages.
 * @throws {UserError} If a line is damaged, or the vocabulary is none of those that are known.
 */
export function openTiktoken(
  bytes: Uint8Array,
  config: TokenizerConfig,
  added: readonly AddedToken[],
  name: string,
): JsonTokenizer {
  const ranks = readRanks(bytes, name);
  const encoding = ENCODINGS.find(({ size }) => size === ranks.size);
  if (encoding === undefined) {
    const known = ENCODINGS.map(({ name, size }) => `${name} (${size})`).join(", ");
    throw new UserError(
      `${name}: a tiktoken file of ${ranks.size} tokens, and it does not say how it cuts words; ` +
        `known are ${known}: add the tokenizer.json of the model`,
    );
  }
  const special = encoding.special.map((token, index): AddedToken => {
    const [content, id] = typeof token === "string" ? [token, ranks.size + index] : token;
    return { id, content, special: true, normalized: false };
  });
  const described = new Set(added.map(({ id }) => id));
  const model = new BytePairModel(ranks, mergesOfRanks(ranks), {
    ...PLAIN_BYTE_PAIRS,
    ignoreMerges: true,
  });
  const { bos, eos } = encoding;
  const addsBos = (config.add_bos_token ?? encoding.addsBos) === true;
  const roles = { bos_token: bos, eos_token: eos, ...config };
  return new JsonTokenizer(
    describe(encoding.pattern, [
      ...special.filter(({ id }) => !described.has(id)),
      ...added,
    ], addsBos ? contentOf(roles.bos_token) : null),
    roles,
    name,
    model,
  );
}

/** The same parts as a `tokenizer.json` of such a model has. */
function describe(
  pattern: string,
  added: readonly AddedToken[],
  bos: string | null,
): TokenizerJson {
  const text = { Sequence: { id: "A", type_id: 0 } };
  return {
    added_tokens: added,
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false },
        { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      ],
    },
    post_processor: {
      type: "TemplateProcessing",
      single: bos === null ? [text] : [{ SpecialToken: { id: bos, type_id: 0 } }, text],
    },
    decoder: { type: "ByteLevel" },
  };
}

/** The name of a token in a configuration: a text, or an object with the text as its content. */
function contentOf(token: unknown): string | null {
  if (typeof token === "string") return token;
  const content = (token as { content?: unknown } | null)?.content;
  return typeof content === "string" ? content : null;
}

/** Tokens, written in byte characters, by the lines of a file. */
function readRanks(bytes: Uint8Array, name: string): Map<string, number> {
  const ranks = new Map<string, number>();
  const lines = new TextDecoder("latin1").decode(bytes).split("\n");
  for (const [index, line] of lines.entries()) {
    if (line.trim() === "") continue;
    const [, token, rank] = /^([A-Za-z0-9+/]+=*) ([0-9]+)\s*$/.exec(line) ?? [];
    const decoded = token === undefined ? null : decodeBase64(token);
    if (decoded === null) {
      throw new UserError(
        `${name}:${index + 1}: ${JSON.stringify(line.slice(0, 40))} is not a token in base64 and ` +
          `its rank; download the file again`,
      );
    }
    ranks.set(spell(decoded), Number(rank));
  }
  return ranks;
}

function decodeBase64(text: string): Uint8Array | null {
  try {
    return Uint8Array.fromBase64(text);
  } catch {
    return null;
  }
}
