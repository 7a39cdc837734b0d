/**
 * Tokenizers of model folders: `tokenizer.json`, SentencePiece's `tokenizer.model`, files of tiktoken,
 * and GPT-2's `vocab.json` with `merges.txt`.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { TokenizerBackend } from "./tokenizers/backend.ts";
import { JsonTokenizer } from "./tokenizers/hugging_face/tokenizer_json.ts";
import { openTokenizer } from "./tokenizers/open_tokenizer.ts";
import type { TokenizerConfig } from "./tokenizers/tokenizer_config.ts";

/**
 * Text to token ids and back.
 *
 * @example
 * ```ts
 * import { trainByteLevelBpe } from "./byte_level_bpe.ts";
 * import { Tokenizer } from "./tokenizer.ts";
 *
 * const { tokenizer, config } = trainByteLevelBpe(["low lower lowest"], { vocabSize: 262 });
 * const trained = new Tokenizer(tokenizer, config);
 * const ids = trained.encode("lower");
 * if (ids[0] !== trained.bosId) throw new Error("its post-processor adds BOS");
 * if (trained.decode(ids.subarray(1)) !== "lower") throw new Error("round trip");
 * ```
 */
export class Tokenizer {
  /** One more than the largest token id. */
  readonly vocabSize: number;
  /** Id of the token that begins a text, if the folder names one. */
  readonly bosId: number | null;
  /** Id of the token that ends a text, if the folder names one. */
  readonly eosId: number | null;
  /** Id of the padding token, if the folder names one. */
  readonly padId: number | null;
  /** Id of the token that stands for what the vocabulary cannot spell, if it has one. */
  readonly unknownId: number | null;
  readonly #backend: TokenizerBackend;
  readonly #modelVocabSize: number;
  #unknownCount = 0;

  /**
   * Builds a tokenizer from the contents of its files.
   *
   * @param tokenizer The object in a `tokenizer.json`, or a tokenizer of another kind.
   * @param config The object in a `tokenizer_config.json`.
   * @param name What to call it in messages.
   * @param modelVocabSize Rows of the model's embedding; ids beyond are refused where a text has them.
   * @throws {UserError} If the tokenizer is of an unknown kind, or lacks a token that the
   * configuration names.
   */
  constructor(
    tokenizer: object | TokenizerBackend,
    config: object = {},
    name = "tokenizer",
    modelVocabSize = Infinity,
  ) {
    const backend = tokenizer instanceof TokenizerBackend
      ? tokenizer
      : new JsonTokenizer(tokenizer, config as TokenizerConfig, name);
    const { bos, eos, pad } = backend.roles;
    this.#backend = backend;
    this.#modelVocabSize = modelVocabSize;
    this.vocabSize = backend.vocabSize;
    this.unknownId = backend.unknownId;
    this.bosId = bos;
    this.eosId = eos;
    this.padId = pad;
    // Others may lie beyond the model, which never reads them; this one is appended to texts.
    if (eos !== null) this.#check([eos]);
  }

  /**
   * Reads the tokenizer of a model folder: `tokenizer.json`, or else SentencePiece's `tokenizer.model`,
   * a file of tiktoken, or `vocab.json` with `merges.txt`. Without a `tokenizer_config.json`, a
   * `tokenizer.json` knows no special token by its role.
   *
   * @param modelVocabSize As for the constructor.
   * @throws {UserError} If there is no such file, or it is no tokenizer.
   */
  static open(folder: string, modelVocabSize = Infinity): Tokenizer {
    return new Tokenizer(openTokenizer(folder), {}, folder, modelVocabSize);
  }

  /** Whether {@linkcode Tokenizer.encode} puts BOS before a text. */
  get addsBos(): boolean {
    return this.bosId !== null && this.#backend.encode("", true)[0] === this.bosId;
  }

  /** How many unknown tokens all texts had until now. */
  get unknownCount(): number {
    return this.#unknownCount;
  }

  /**
   * Ids of a text as the model wants it: with BOS and EOS where its files say so.
   *
   * @param options.addBos Whether BOS goes before the text, whatever the files say; nothing else is
   * put around it then.
   * @throws {UserError} If the files name no BOS that is asked for, the vocabulary cannot spell the
   * text and has no unknown token, or the text has a token that the model lacks.
   */
  encode(text: string, options: { readonly addBos?: boolean } = {}): Uint32Array<ArrayBuffer> {
    const { addBos } = options;
    if (addBos === undefined) return this.#encode(text, true);
    if (!addBos) return this.#encode(text, false);
    if (this.bosId === null) {
      throw new UserError(
        `${this.#backend.name}: a text is to begin with BOS, but the folder names none; set ` +
          `bos_token in tokenizer_config.json`,
      );
    }
    const ids = this.#encode(text, false);
    const withBos = new Uint32Array(1 + ids.length);
    withBos[0] = this.bosId;
    withBos.set(ids, 1);
    return withBos;
  }

  /** Ids of a text alone, to be placed after others; throws as {@linkcode Tokenizer.encode}. */
  encodeWithoutSpecialTokens(text: string): Uint32Array<ArrayBuffer> {
    return this.#encode(text, false);
  }

  /**
   * Text of ids.
   *
   * @param options.skipSpecialTokens Leaves BOS, EOS and their like out.
   * @default false
   */
  decode(
    ids: Iterable<number>,
    options: { readonly skipSpecialTokens?: boolean } = {},
  ): string {
    const list = [...ids];
    return list.length === 0 ? "" : this.#backend.decode(list, options.skipSpecialTokens ?? false);
  }

  #encode(text: string, addSpecialTokens: boolean): Uint32Array<ArrayBuffer> {
    // UTF-8 knows no lone surrogates.
    const ids = this.#backend.encode(text.toWellFormed(), addSpecialTokens);
    this.#check(ids);
    if (this.unknownId !== null) {
      for (const id of ids) if (id === this.unknownId) this.#unknownCount++;
    }
    return Uint32Array.from(ids);
  }

  #check(ids: readonly number[]): void {
    const id = ids.find((id) => id >= this.#modelVocabSize);
    if (id === undefined) return;
    throw new UserError(
      `${this.#backend.name}: the token "${this.#backend.token(id)}" has id ${id}, but the model ` +
        `has only ${this.#modelVocabSize} tokens (vocab_size); give the model its own tokenizer`,
    );
  }
}
