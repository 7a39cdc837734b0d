/**
 * A conversation as the text that a model goes on from.
 *
 * @module
 */

import type { ChatTemplateFiles } from "../data/templates/chat_template_files.ts";
import { JinjaTemplate, TemplateError } from "../data/templates/jinja.ts";
import { ApiError } from "./api_error.ts";

/** A message of a conversation. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/**
 * The text of a conversation up to where the model answers.
 *
 * @throws {ApiError} If there is no template, it is none, or it refuses the messages.
 */
export function renderChat(
  { source, name, roles }: ChatTemplateFiles,
  messages: readonly ChatMessage[],
): string {
  if (source === null) {
    throw new ApiError(
      400,
      "This model has no chat template (chat_template in tokenizer_config.json); ask " +
        "/v1/completions with the whole text",
      { param: "messages" },
    );
  }
  try {
    return new JinjaTemplate(source, { trimBlocks: true })
      .render({ ...roles, messages, add_generation_prompt: true });
  } catch (error) {
    if (!(error instanceof TemplateError)) throw error;
    throw new ApiError(400, `${name} refuses these messages: ${error.message}`, {
      param: "messages",
    });
  }
}
