/**
 * A model folder with a SentencePiece `tokenizer.model` and no `tokenizer.json`.
 *
 * @module
 */

import { type AddedToken, AddedTokens } from "../added_tokens.ts";
import { type RoleTokens, TokenizerBackend } from "../backend.ts";
import { rolesOf, type TokenizerConfig } from "../tokenizer_config.ts";
import { type ModelProto, PIECE_TYPE } from "./model_proto.ts";
import { SentencePieceModel } from "./sentencepiece_model.ts";

/**
 * A SentencePiece model as language models use it: control pieces and added tokens are found in texts,
 * BOS and EOS are put around them.
 */
export class SentencePieceTokenizer extends TokenizerBackend {
  readonly name: string;
  readonly vocabSize: number;
  readonly roles: RoleTokens;
  readonly unknownId: number | null;
  readonly #model: SentencePieceModel;
  readonly #added: AddedTokens;
  readonly #tokens = new Map<number, string>();
  readonly #special = new Set<number>();
  readonly #prefixesSections: boolean;
  readonly #before: readonly number[];
  readonly #after: readonly number[];

  /**
   * Reads a model.
   *
   * @param config Names BOS, EOS and padding, where they are not those of the model.
   * @param added Tokens beyond those of the model.
   * @param name What to call the file in messages.
   * @throws {UserError} If the model is damaged, or the configuration contradicts it.
   */
  constructor(
    bytes: Uint8Array,
    config: TokenizerConfig,
    added: readonly AddedToken[],
    name: string,
  ) {
    super();
    this.name = name;
    this.#model = new SentencePieceModel(bytes, name);
    const { proto } = this.#model;
    this.unknownId = this.#model.unknownId;
    const own = proto.pieces.flatMap(({ piece, type }, id) =>
      type === PIECE_TYPE.control || type === PIECE_TYPE.unknown
        ? [{ id, content: piece, special: true }]
        : []
    );
    const described = new Set(added.map(({ id }) => id));
    const tokens = [...added, ...own.filter(({ id }) => !described.has(id))];
    this.#added = new AddedTokens(tokens);
    const ids = new Map(proto.pieces.map(({ piece }, id) => [piece, id]));
    for (const { id, content, special } of tokens) {
      this.#tokens.set(id, content);
      ids.set(content, id);
      if (special) this.#special.add(id);
    }
    this.vocabSize = 1 + Math.max(proto.pieces.length - 1, ...added.map(({ id }) => id));
    this.roles = rolesOf({ ...rolesOfModel(proto), ...config }, (token) => ids.get(token), name);
    // Transformers prefixes every text between special tokens unless `legacy` is false.
    this.#prefixesSections = config.legacy !== false;
    const { bos, eos } = this.roles;
    this.#before = bos !== null && config.add_bos_token !== false ? [bos] : [];
    this.#after = eos !== null && config.add_eos_token === true ? [eos] : [];
  }

  override encode(text: string, addSpecialTokens: boolean): number[] {
    const ids = addSpecialTokens ? [...this.#before] : [];
    for (const [index, section] of this.#added.split(text).entries()) {
      if (typeof section === "number") ids.push(section);
      else {
        const prefixed = index === 0 || this.#prefixesSections;
        for (const id of this.#model.encode(section, prefixed)) ids.push(id);
      }
    }
    if (addSpecialTokens) ids.push(...this.#after);
    return ids;
  }

  override decode(ids: readonly number[], skipSpecialTokens: boolean): string {
    let text = "";
    let section: number[] = [];
    let isFirst = true;
    const flush = () => {
      if (section.length > 0) {
        text += this.#model.decode(section, isFirst || this.#prefixesSections);
        isFirst = false;
      }
      section = [];
    };
    for (const id of ids) {
      const token = this.#tokens.get(id);
      if (token === undefined) {
        section.push(id);
        continue;
      }
      flush();
      if (!(skipSpecialTokens && this.#special.has(id))) {
        text += token;
        isFirst = false;
      }
    }
    flush();
    return text;
  }

  override token(id: number): string | undefined {
    return this.#tokens.get(id) ?? this.#model.proto.pieces[id]?.piece;
  }
}

/** The tokens that a model itself gives a role, if it has them as control pieces. */
function rolesOfModel({ pieces, bosPiece, eosPiece, padPiece }: ModelProto): TokenizerConfig {
  const control = new Set(
    pieces.filter(({ type }) => type === PIECE_TYPE.control).map(({ piece }) => piece),
  );
  const roles = { bos_token: bosPiece, eos_token: eosPiece, pad_token: padPiece };
  return Object.fromEntries(Object.entries(roles).filter(([, piece]) => control.has(piece)));
}
