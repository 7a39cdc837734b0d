/**
 * The tokenizer of a `tokenizer.json`: added tokens, normalizer, pre-tokenizer, model, post-processor
 * and decoder, in the order of the crate `tokenizers` (`src/tokenizer/mod.rs`).
 *
 * The class of `@huggingface/tokenizers` puts the parts together by the names of tokens. It ignores
 * `single_word`, gives the ids of a template by name, and is slow where a vocabulary has many added
 * tokens; so the parts are put together here, by ids.
 *
 * @module
 */

import { UserError } from "../../../errors.ts";
import { type AddedToken, AddedTokens } from "../added_tokens.ts";
import { type RoleTokens, TokenizerBackend } from "../backend.ts";
import { rolesOf, type TokenizerConfig } from "../tokenizer_config.ts";
import { type TokenModel, UnspellableError } from "../token_model.ts";
import { createDecoder, type Decode } from "./decoders.ts";
import { createModel } from "./models.ts";
import { createNormalizer, type Normalize } from "./normalizers.ts";
import type { Component } from "./patterns.ts";
import { type Surroundings, surroundingsOf, type SurroundingToken } from "./post_processor.ts";
import { createPreTokenizer, type PreTokenize } from "./pre_tokenizers.ts";

/** The parts of a `tokenizer.json` that are read. */
export interface TokenizerJson {
  readonly added_tokens?: readonly AddedToken[];
  readonly normalizer?: Component | null;
  readonly pre_tokenizer?: Component | null;
  readonly model?: Component;
  readonly post_processor?: Component | null;
  readonly decoder?: Component | null;
}

/**
 * Tokenizers whose classes in Transformers replace the post-processor of the file by what
 * `add_bos_token` and `add_eos_token` of the configuration say (`update_post_processor()`).
 */
const CONFIGURED_SURROUNDINGS = /^(Llama|CodeLlama|Gemma|Cohere)Tokenizer(Fast)?$/;

/** A tokenizer that a `tokenizer.json` describes. */
export class JsonTokenizer extends TokenizerBackend {
  readonly name: string;
  readonly vocabSize: number;
  readonly roles: RoleTokens;
  readonly unknownId: number | null;
  readonly #model: TokenModel;
  readonly #added: AddedTokens;
  readonly #addedNormalized: AddedTokens;
  readonly #normalize: Normalize;
  readonly #preTokenize: PreTokenize;
  readonly #decode: Decode;
  readonly #surroundings: Surroundings;
  readonly #tokens: string[] = [];
  readonly #ids = new Map<string, number>();
  readonly #special = new Set<number>();
  readonly #cleansUp: boolean;

  /**
   * Builds the parts.
   *
   * @param name What to call the file in messages.
   * @param model Instead of the one in the file.
   * @throws {UserError} If a part is of an unknown kind or contradicts itself.
   */
  constructor(json: TokenizerJson, config: TokenizerConfig, name: string, model?: TokenModel) {
    super();
    this.name = name;
    const added = json.added_tokens ?? [];
    try {
      if (json.model === undefined && model === undefined) throw new Error("it has no model");
      this.#model = model ?? createModel(json.model ?? { type: "" });
      this.#normalize = createNormalizer(json.normalizer);
      this.#preTokenize = createPreTokenizer(json.pre_tokenizer);
      this.#decode = createDecoder(json.decoder);
      this.#surroundings = surroundingsOf(json.post_processor);
    } catch (error) {
      throw new UserError(
        `${name}: not a usable tokenizer (${error instanceof Error ? error.message : error})`,
      );
    }
    const isNormalized = (token: AddedToken) => token.normalized ?? !token.special;
    const normalized = added.filter(isNormalized);
    this.#added = new AddedTokens(added.filter((token) => !isNormalized(token)));
    this.#addedNormalized = new AddedTokens(
      normalized,
      normalized.map(({ content }) => this.#normalize(content)),
    );
    for (const [token, id] of this.#model.vocabulary) this.#know(token, id);
    for (const { content, id, special } of added) {
      this.#know(content, id);
      if (special) this.#special.add(id);
    }
    this.vocabSize = this.#tokens.length;
    this.unknownId = this.#model.unknownId;
    this.roles = rolesOf(config, (token) => this.#ids.get(token), name);
    this.#cleansUp = config.clean_up_tokenization_spaces === true;
    if (CONFIGURED_SURROUNDINGS.test(String(config.tokenizer_class))) {
      const { bos, eos } = this.roles;
      this.#surroundings = {
        before: config.add_bos_token !== false && bos !== null ? [[bos]] : [],
        after: config.add_eos_token === true && eos !== null ? [[eos]] : [],
      };
    }
  }

  override encode(text: string, addSpecialTokens: boolean): number[] {
    const ids: number[] = [];
    if (addSpecialTokens) this.#surround(this.#surroundings.before, ids);
    for (const [index, section] of this.#added.split(text).entries()) {
      if (typeof section === "number") ids.push(section);
      else this.#encodeSection(section, index === 0, ids);
    }
    if (addSpecialTokens) this.#surround(this.#surroundings.after, ids);
    return ids;
  }

  override decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    const tokens: string[] = [];
    for (const id of ids) {
      const token = this.#tokens[id];
      if (token !== undefined && !(skipSpecialTokens && this.#special.has(id))) tokens.push(token);
    }
    const text = this.#decode(tokens).join("");
    return this.#cleansUp ? cleanUp(text) : text;
  }

  override token(id: number): string | undefined {
    return this.#tokens[id];
  }

  #know(token: string, id: number): void {
    this.#tokens[id] = token;
    this.#ids.set(token, id);
  }

  #encodeSection(text: string, isStart: boolean, ids: number[]): void {
    const sections = this.#addedNormalized.split(this.#normalize(text));
    for (const [index, section] of sections.entries()) {
      if (typeof section === "number") {
        ids.push(section);
        continue;
      }
      for (const piece of this.#preTokenize([section], isStart && index === 0)) {
        for (const id of this.#encodePiece(piece)) ids.push(id);
      }
    }
  }

  #encodePiece(piece: string): readonly number[] {
    try {
      return this.#model.encode(piece);
    } catch (error) {
      if (error instanceof UnspellableError) throw new UserError(`${this.name}: ${error.message}`);
      throw error;
    }
  }

  #surround(tokens: readonly SurroundingToken[], ids: number[]): void {
    for (const token of tokens) {
      if (typeof token !== "string") {
        ids.push(...token);
        continue;
      }
      const id = this.#ids.get(token);
      if (id === undefined) {
        throw new UserError(
          `${this.name}: the post-processor adds the token "${token}", which is not in its ` +
            `vocabulary; tokenizer.json contradicts itself`,
        );
      }
      ids.push(id);
    }
  }
}

/** Takes away the spaces that BERT's words leave, as Transformers does where a model wants it. */
function cleanUp(text: string): string {
  return text.replace(/ ([.?!,])/g, "$1").replace(/ ' /g, "'")
    .replace(/ (n't|'m|'s|'ve|'re)/g, "$1");
}
