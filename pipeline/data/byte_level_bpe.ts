// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Training a byte-level byte-pair encoding (Sennrich et al. 2016; bytes as in GPT-2, Radford et al.
 * 2019) and writing it as a Hugging Face tokenizer.
 *
 * @module
 */

import { BYTE_CHARACTERS, spellBytes } from "./tokenizers/byte_characters.ts";

/** How GPT-2 cuts text into words, the longest units that merges may build. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

/** Pairs of tokens are numbered `left * PAIR_BASE + right`. */
const PAIR_BASE = 2 ** 24;

/** Options of {@linkcode trainByteLevelBpe}. */
export interface ByteLevelBpeOptions {
  /** Tokens wanted: the two special tokens, 256 bytes, and as many merges as are left. */
  readonly vocabSize: number;
  /**
   * Token that the post-processor puts before every text; it gets id 0.
   *
   * @default "<|begin|>"
   */
  readonly bosToken?: string;
  /**
   * Token that ends a text; it gets id 1.
   *
   * @default "<|end|>"
   */
  readonly eosToken?: string;
}

/** The two files of a Hugging Face tokenizer, as objects. */
export interface TokenizerFiles {
  /** `tokenizer.json`. */
  readonly tokenizer: object;
  /** `tokenizer_config.json`. */
  readonly config: object;
}

/**
 * Trains a byte-level BPE: merges the most frequent pair of neighbouring tokens within words until
 * the vocabulary is full or no pair occurs twice. Of equally frequent pairs, the first in code-unit
 * order is merged, so that equal texts give equal tokenizers.
 *
 * @throws {RangeError} If `vocabSize` does not hold the special tokens and all bytes.
 *
 * @example
 * ```ts
 * import { trainByteLevelBpe } from "./byte_level_bpe.ts";
 *
 * const { tokenizer } = trainByteLevelBpe(["abab", "abc"], { vocabSize: 259 });
 * const { model } = tokenizer as { model: { merges: string[] } };
 * if (model.merges.join() !== "a b") throw new Error("a b is the most frequent pair");
 * ```
 */
export function trainByteLevelBpe(
  texts: Iterable<string>,
  options: ByteLevelBpeOptions,
): TokenizerFiles {
  const { vocabSize, bosToken = "<|begin|>", eosToken = "<|end|>" } = options;
  const tokens = [bosToken, eosToken, ...[...BYTE_CHARACTERS].sort()];
  if (!(vocabSize >= tokens.length)) {
    throw new RangeError(
      `Cannot train a vocabulary of ${vocabSize} tokens: the special tokens and all bytes take ` +
        `${tokens.length}`,
    );
  }
  const merges = mergePairs(countWords(texts), tokens, vocabSize);
  return describe(tokens, merges, bosToken, eosToken);
}

/** A distinct word of the corpus. */
interface Word {
  tokens: number[];
  readonly count: number;
}

/** Counts distinct words and spells them in byte characters. */
function countWords(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const [word] of text.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  return new Map([...counts].map(([word, count]) => [spellBytes(word), count]));
}

/** Extends `tokens` to `vocabSize` and returns the merges that made the new ones. */
function mergePairs(
  wordCounts: ReadonlyMap<string, number>,
  tokens: string[],
  vocabSize: number,
): string[] {
  const idOf = new Map(tokens.map((token, id) => [token, id]));
  const words: Word[] = [...wordCounts].map(([word, count]) => ({
    tokens: Array.from(word, (character) => idOf.get(character)!),
    count,
  }));
  const counts = new Map<number, number>();
  const wordsWith = new Map<number, Set<Word>>();
  const addPairs = (word: Word, sign: 1 | -1) => {
    for (let i = 1; i < word.tokens.length; i++) {
      const pair = word.tokens[i - 1]! * PAIR_BASE + word.tokens[i]!;
      const count = (counts.get(pair) ?? 0) + sign * word.count;
      if (count === 0) counts.delete(pair);
      else counts.set(pair, count);
      if (sign === 1) {
        const holders = wordsWith.get(pair);
        if (holders === undefined) wordsWith.set(pair, new Set([word]));
        else holders.add(word);
      }
    }
  };
  for (const word of words) addPairs(word, 1);

  const merges: string[] = [];
  while (tokens.length < vocabSize) {
    const pair = mostFrequent(counts, tokens);
    if (pair === null) break;
    const [left, right] = [Math.floor(pair / PAIR_BASE), pair % PAIR_BASE];
    merges.push(`${tokens[left]} ${tokens[right]}`);
    tokens.push(tokens[left]! + tokens[right]!);
    for (const word of wordsWith.get(pair)!) {
      addPairs(word, -1);
      word.tokens = join(word.tokens, left, right, tokens.length - 1);
      addPairs(word, 1);
    }
    wordsWith.delete(pair);
  }
  return merges;
}

function mostFrequent(
  counts: ReadonlyMap<number, number>,
  tokens: readonly string[],
): number | null {
  let best: number | null = null;
  let bestCount = 1; // a pair that occurs once saves nothing
  for (const [pair, count] of counts) {
    if (count > bestCount || (count === bestCount && best !== null && precedes(pair, best))) {
      best = pair;
      bestCount = count;
    }
  }
  return best;

  function precedes(one: number, other: number): boolean {
    const [left, otherLeft] = [
      tokens[Math.floor(one / PAIR_BASE)]!,
      tokens[Math.floor(other / PAIR_BASE)]!,
    ];
    return left === otherLeft
      ? tokens[one % PAIR_BASE]! < tokens[other % PAIR_BASE]!
      : left < otherLeft;
  }
}

/** Replaces `left, right` by `merged`, from the left. */
function join(ids: readonly number[], left: number, right: number, merged: number): number[] {
  const joined: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    if (ids[i] === left && ids[i + 1] === right) {
      joined.push(merged);
      i++;
    } else {
      joined.push(ids[i]!);
    }
  }
  return joined;
}

function describe(
  tokens: readonly string[],
  merges: readonly string[],
  bosToken: string,
  eosToken: string,
): TokenizerFiles {
  const special = (content: string) => ({
    content,
    lstrip: false,
    normalized: false,
    rstrip: false,
    single_word: false,
    special: true,
  });
  const begin = { SpecialToken: { id: bosToken, type_id: 0 } };
  const sequence = (id: "A" | "B", type_id: number) => ({ Sequence: { id, type_id } });
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
  return {
    tokenizer: {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [{ id: 0, ...special(bosToken) }, { id: 1, ...special(eosToken) }],
      normalizer: null,
      pre_tokenizer: { ...byteLevel, use_regex: true },
      post_processor: {
        type: "TemplateProcessing",
        single: [begin, sequence("A", 0)],
        pair: [begin, sequence("A", 0), begin, sequence("B", 1)],
        special_tokens: { [bosToken]: { id: bosToken, ids: [0], tokens: [bosToken] } },
      },
      decoder: { ...byteLevel, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges,
      },
    },
    config: {
      tokenizer_class: "PreTrainedTokenizerFast",
      added_tokens_decoder: { 0: special(bosToken), 1: special(eosToken) },
      bos_token: bosToken,
      eos_token: eosToken,
      pad_token: eosToken,
      clean_up_tokenization_spaces: false,
    },
  };
}
