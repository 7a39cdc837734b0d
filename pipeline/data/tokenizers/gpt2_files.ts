/**
 * A vocabulary and a list of merges as GPT-2 has them, without a `tokenizer.json`: `vocab.json` and
 * `merges.txt`.
 *
 * @module
 */

import type { AddedToken } from "./added_tokens.ts";
import { JsonTokenizer } from "./hugging_face/tokenizer_json.ts";
import type { TokenizerConfig } from "./tokenizer_config.ts";

/** What GPT-2 begins and ends texts with. */
const END_OF_TEXT = "<|endoftext|>";

/**
 * Builds the tokenizer of GPT-2's class with other files (`GPT2Converter` of Transformers).
 *
 * @param merges Lines of pairs, after a line `#version`.
 * @param name What to call the vocabulary in messages.
 * @throws {UserError} If the files contradict each other.
 */
export function openGpt2Files(
  vocabulary: Readonly<Record<string, unknown>>,
  merges: string,
  config: TokenizerConfig,
  added: readonly AddedToken[],
  name: string,
): JsonTokenizer {
  const lines = merges.split("\n").map((line) => line.replace(/\r$/, ""));
  const pairs = lines.filter((line, index) =>
    line !== "" && !(index === 0 && line.startsWith("#version"))
  );
  const endOfText = vocabulary[END_OF_TEXT];
  const knowsEnd = typeof endOfText === "number";
  const roles = knowsEnd ? { bos_token: END_OF_TEXT, eos_token: END_OF_TEXT, ...config } : config;
  const special = knowsEnd && !added.some(({ id }) => id === endOfText)
    ? [{ id: endOfText, content: END_OF_TEXT, special: true, normalized: false }]
    : [];
  const bos = typeof roles.bos_token === "object"
    ? (roles.bos_token as AddedToken | null)?.content
    : roles.bos_token;
  const text = { Sequence: { id: "A", type_id: 0 } };
  return new JsonTokenizer(
    {
      added_tokens: [...special, ...added],
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: config.add_prefix_space === true },
      model: { type: "BPE", vocab: vocabulary, merges: pairs },
      post_processor: {
        type: "TemplateProcessing",
        single: config.add_bos_token === true && typeof bos === "string"
          ? [{ SpecialToken: { id: bos, type_id: 0 } }, text]
          : [text],
      },
      decoder: { type: "ByteLevel" },
    },
    roles,
    name,
  );
}
