/**
 * `tokenizer_config.json` and the files beside it that say what tokens are for.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../../errors.ts";
import { readJsonOrNull } from "../../formats/files.ts";
import type { AddedToken } from "./added_tokens.ts";
import type { RoleTokens } from "./backend.ts";

/** The object in a `tokenizer_config.json`. */
export type TokenizerConfig = Readonly<Record<string, unknown>>;

/**
 * Reads the configuration of a folder; what it leaves open is taken from `special_tokens_map.json`,
 * where older folders have it.
 *
 * @throws {UserError} If a file is not a JSON object.
 */
export function readTokenizerConfig(folder: string): TokenizerConfig {
  const config = readJsonOrNull(join(folder, "tokenizer_config.json")) ?? {};
  const map = readJsonOrNull(join(folder, "special_tokens_map.json")) ?? {};
  const open = Object.entries(map).filter(([role]) => !Object.hasOwn(config, role));
  return { ...config, ...Object.fromEntries(open) };
}

/**
 * Tokens that a folder adds to its vocabulary: `added_tokens.json` and `added_tokens_decoder` of the
 * configuration.
 *
 * @throws {UserError} If a file is not a JSON object, or an id is none.
 */
export function readAddedTokens(folder: string, config: TokenizerConfig): AddedToken[] {
  const path = join(folder, "added_tokens.json");
  const tokens = new Map<number, AddedToken>();
  for (const [content, id] of Object.entries(readJsonOrNull(path) ?? {})) {
    if (!Number.isInteger(id)) {
      throw new UserError(`${path}: "${content}" has the id ${JSON.stringify(id)}, not a number`);
    }
    tokens.set(id as number, { id: id as number, content, normalized: false, special: true });
  }
  const described = config.added_tokens_decoder ?? {};
  for (const [id, token] of Object.entries(described as Record<string, AddedToken>)) {
    tokens.set(Number(id), { ...token, id: Number(id) });
  }
  return [...tokens.values()].sort((one, other) => one.id - other.id);
}

/**
 * The tokens that a configuration names by their role.
 *
 * @param idOf Id of a token by its content.
 * @throws {UserError} If one is not in the vocabulary.
 */
export function rolesOf(
  config: TokenizerConfig,
  idOf: (token: string) => number | undefined,
  name: string,
): RoleTokens {
  const find = (role: string) => {
    const token = config[role] ?? null;
    if (token === null) return null;
    const content = typeof token === "object" ? (token as { content?: unknown }).content : token;
    const id = typeof content === "string" ? idOf(content) : undefined;
    if (id === undefined) {
      throw new UserError(
        `${name}: tokenizer_config.json or special_tokens_map.json has ${role} ` +
          `${JSON.stringify(content)}, which is not in the vocabulary`,
      );
    }
    return id;
  };
  return { bos: find("bos_token"), eos: find("eos_token"), pad: find("pad_token") };
}
