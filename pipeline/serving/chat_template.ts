/**
 * The chat template of a model folder: from messages to the text that the model was trained on.
 *
 * @module
 */

import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import type { Tokenizer } from "../data/tokenizer.ts";
import { readJsonOrNull, readTextOrNull } from "../formats/files.ts";
import { ApiError } from "./api_error.ts";

/** A message of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/**
 * The template that a folder names, as text: `chat_template.jinja`, else `chat_template` of
 * `tokenizer_config.json`, of several the one that is named "default"; null if there is none.
 */
export function readChatTemplate(folder: string): string | null {
  const file = readTextOrNull(join(folder, "chat_template.jinja"));
  if (file !== null) return file;
  const named = readJsonOrNull(join(folder, "tokenizer_config.json"))?.chat_template;
  if (!Array.isArray(named)) return typeof named === "string" ? named : null;
  const found = named.find((entry) => entry?.name === "default")?.template;
  return typeof found === "string" ? found : null;
}

/**
 * The text of a conversation up to where the model answers.
 *
 * @throws {ApiError} If there is no template, or it refuses the messages.
 */
export function renderChat(
  template: string | null,
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
): string {
  if (template === null) {
    throw new ApiError(
      400,
      "This model has no chat template (chat_template in tokenizer_config.json); ask " +
        "/v1/completions with the whole text",
      { param: "messages" },
    );
  }
  try {
    return new Template(template).render({
      messages,
      add_generation_prompt: true,
      bos_token: tokenText(tokenizer, tokenizer.bosId) ?? "",
      eos_token: tokenText(tokenizer, tokenizer.eosId) ?? "",
    });
  } catch (error) {
    throw new ApiError(
      400,
      `The model's chat template refuses these messages: ${
        error instanceof Error ? error.message : error
      }`,
      { param: "messages" },
    );
  }
}

/** The name of a special token; null if there is none. */
export function tokenText(tokenizer: Tokenizer, id: number | null): string | null {
  return id === null ? null : tokenizer.decode([id]);
}
