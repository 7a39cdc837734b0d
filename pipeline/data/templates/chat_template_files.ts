/**
 * Where a model folder keeps its chat template, and what the template needs besides the messages.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { readJsonOrNull, readTextOrNull } from "../../formats/files.ts";

/** A chat template as a folder has it. */
export interface ChatTemplateFiles {
  /** Null if the folder has none. */
  readonly source: string | null;
  /** What to call it in messages. */
  readonly name: string;
  /** Texts of special tokens by the name of their role ("eos_token"), for the template. */
  readonly roles: Readonly<Record<string, string>>;
  /** Texts of all special tokens. */
  readonly specialTokens: readonly string[];
}

/**
 * Reads `chat_template.jinja`, else `chat_template` of `tokenizer_config.json`: a text, or a list of
 * `{name, template}` of which "default" is taken.
 *
 * @throws {UserError} If a file is not what it should be.
 */
export function readChatTemplate(folder: string): ChatTemplateFiles {
  const configFile = join(folder, "tokenizer_config.json");
  const config = readJsonOrNull(configFile) ?? {};
  const special = readJsonOrNull(join(folder, "special_tokens_map.json")) ?? {};
  const roles: Record<string, string> = {};
  for (const [role, value] of Object.entries({ ...special, ...config })) {
    const content = role.endsWith("_token") ? contentOf(value) : null;
    if (content !== null) roles[role] = content;
  }
  const tokens = new Set(Object.values(roles));
  for (const list of [special, config].map((file) => file.additional_special_tokens)) {
    for (const token of Array.isArray(list) ? list : []) {
      const content = contentOf(token);
      if (content !== null) tokens.add(content);
    }
  }
  for (const token of addedTokens(folder, config)) {
    if (token.special === true && typeof token.content === "string") tokens.add(token.content);
  }
  const file = join(folder, "chat_template.jinja");
  const text = readTextOrNull(file);
  return {
    source: text ?? templateOf(config.chat_template ?? null, configFile),
    name: text === null ? configFile : file,
    roles,
    specialTokens: [...tokens].filter((token) => token !== ""),
  };
}

function templateOf(value: unknown, file: string): string | null {
  if (value === null || typeof value === "string") return value;
  const entries = Array.isArray(value) ? value as { name?: unknown; template?: unknown }[] : [];
  const template = entries.find((entry) => entry?.name === "default")?.template;
  if (typeof template === "string") return template;
  throw new UserError(
    `${file}: chat_template is neither a text nor a list with { name: default, template }; correct it`,
  );
}

/** Older folders list the tokens only with the vocabulary. */
function addedTokens(
  folder: string,
  { added_tokens_decoder: decoder }: Readonly<Record<string, unknown>>,
): readonly { readonly content?: unknown; readonly special?: unknown }[] {
  if (typeof decoder === "object" && decoder !== null) return Object.values(decoder);
  const { added_tokens: added } = readJsonOrNull(join(folder, "tokenizer.json")) ?? {};
  return Array.isArray(added) ? added : [];
}

function contentOf(token: unknown): string | null {
  const content = typeof token === "object" && token !== null
    ? (token as { content?: unknown }).content
    : token;
  return typeof content === "string" ? content : null;
}
