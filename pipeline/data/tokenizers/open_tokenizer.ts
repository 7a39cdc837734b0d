/**
 * Which files of a model folder are its tokenizer.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { readJsonOrNull, readTextOrNull, statOrNull } from "../../formats/files.ts";
import type { TokenizerBackend } from "./backend.ts";
import { openGpt2Files } from "./gpt2_files.ts";
import { JsonTokenizer, type TokenizerJson } from "./hugging_face/tokenizer_json.ts";
import { SentencePieceTokenizer } from "./sentencepiece/sentencepiece_tokenizer.ts";
import { isTiktoken, openTiktoken } from "./tiktoken.ts";
import { readAddedTokens, readTokenizerConfig } from "./tokenizer_config.ts";

/** SentencePiece models and files of tiktoken bear the same names: their content tells. */
const BINARY_FILES = ["tokenizer.model", "original/tokenizer.model", "tokenizer.tiktoken"] as const;

/** A vocabulary and its merges: the names in Hugging Face's folders, and those of GPT-2 itself. */
const GPT2_FILES = [["vocab.json", "merges.txt"], ["encoder.json", "vocab.bpe"]] as const;

/**
 * Opens the tokenizer of a folder: its `tokenizer.json`, or else `tokenizer.model`,
 * `original/tokenizer.model`, a `*.tiktoken`, or `vocab.json` with `merges.txt`.
 *
 * @throws {UserError} If there is none of them, or it is damaged.
 */
export function openTokenizer(folder: string): TokenizerBackend {
  const config = readTokenizerConfig(folder);
  const added = readAddedTokens(folder, config);
  const path = join(folder, "tokenizer.json");
  const json: TokenizerJson | null = readJsonOrNull(path);
  if (json !== null) {
    const known = json.added_tokens ?? [];
    const contents = new Set(known.map(({ content }) => content));
    const added_tokens = [...known, ...added.filter(({ content }) => !contents.has(content))];
    return new JsonTokenizer({ ...json, added_tokens }, config, path);
  }

  for (const file of [...BINARY_FILES, ...tiktokenFiles(folder)]) {
    const path = join(folder, file);
    if (statOrNull(path) === null) continue;
    const bytes = Deno.readFileSync(path);
    return isTiktoken(bytes) || file.endsWith(".tiktoken")
      ? openTiktoken(bytes, config, added, path)
      : new SentencePieceTokenizer(bytes, config, added, path);
  }

  for (const [vocabularyFile, mergesFile] of GPT2_FILES) {
    const vocabulary = readJsonOrNull(join(folder, vocabularyFile));
    const merges = readTextOrNull(join(folder, mergesFile));
    if (vocabulary === null && merges === null) continue;
    if (vocabulary === null || merges === null) {
      throw new UserError(
        `${folder}: there is ${vocabulary === null ? mergesFile : vocabularyFile} but no ` +
          `${vocabulary === null ? vocabularyFile : mergesFile}; the tokenizer needs both`,
      );
    }
    return openGpt2Files(vocabulary, merges, config, added, join(folder, vocabularyFile));
  }
  throw new UserError(
    `${folder}: there is no tokenizer (looked for tokenizer.json, ${BINARY_FILES.join(", ")}, ` +
      `*.tiktoken, ${GPT2_FILES.map((pair) => pair.join(" with ")).join(", ")}); add that of the ` +
      `model to the folder that the experiment starts from`,
  );
}

/** Names like `qwen.tiktoken`, in order. */
function tiktokenFiles(folder: string): string[] {
  if (!statOrNull(folder)?.isDirectory) return [];
  return Array.from(Deno.readDirSync(folder), ({ name }) => name)
    .filter((name) => name.endsWith(".tiktoken")).sort();
}
