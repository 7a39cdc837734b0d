/**
 * Tokenizers of Hugging Face folders: `tokenizer.json` and `tokenizer_config.json` through
 * `@huggingface/tokenizers`.
 *
 * @module
 */

import { join } from "node:path";
import { PreTokenizer, Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { UserError } from "../errors.ts";
import { readJsonOrNull } from "../formats/files.ts";
import { BpePieces } from "./bpe_pieces.ts";

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
  /** Id of the token that begins a text, if `tokenizer_config.json` names one. */
  readonly bosId: number | null;
  /** Id of the token that ends a text, if `tokenizer_config.json` names one. */
  readonly eosId: number | null;
  /** Id of the padding token, if `tokenizer_config.json` names one. */
  readonly padId: number | null;
  readonly #name: string;
  readonly #tokenizer: HuggingFaceTokenizer;
  readonly #cleansUpSpaces: boolean;
  readonly #modelVocabSize: number;

  /**
   * Builds a tokenizer from the contents of its files.
   *
   * @param tokenizer The object in a `tokenizer.json`.
   * @param config The object in a `tokenizer_config.json`.
   * @param name What to call it in messages.
   * @param modelVocabSize Rows of the model's embedding; ids beyond are refused where a text has them.
   * @throws {UserError} If the tokenizer is of an unknown kind, or lacks a token that the
   * configuration names.
   */
  constructor(tokenizer: object, config: object, name = "tokenizer", modelVocabSize = Infinity) {
    this.#name = name;
    this.#modelVocabSize = modelVocabSize;
    try {
      this.#tokenizer = new HuggingFaceTokenizer(tokenizer, config);
      if (mergesWholeTexts(tokenizer)) {
        this.#tokenizer.pre_tokenizer = new PieceSplitter(tokenizer.model.merges);
      }
    } catch (error) {
      throw new UserError(
        `${name}: not a usable tokenizer.json (${error instanceof Error ? error.message : error})`,
      );
    }
    const ids = this.#tokenizer.get_vocab(true).values();
    this.vocabSize = 1 + ids.reduce((largest, id) => Math.max(largest, id), -1);
    const settings = config as Record<string, unknown>;
    this.bosId = this.#specialId(settings, "bos_token");
    this.eosId = this.#specialId(settings, "eos_token");
    this.padId = this.#specialId(settings, "pad_token");
    this.#cleansUpSpaces = settings.clean_up_tokenization_spaces === true;
  }

  /**
   * Reads the tokenizer of a model folder. Without a `tokenizer_config.json`, no special token is
   * known by its role.
   *
   * @param modelVocabSize As for the constructor.
   * @throws {UserError} If a file is missing, is not JSON, or is no tokenizer.
   */
  static open(folder: string, modelVocabSize = Infinity): Tokenizer {
    const path = join(folder, "tokenizer.json");
    const tokenizer = readJsonOrNull(path);
    if (tokenizer === null) {
      throw new UserError(
        `${folder}: there is no tokenizer.json; add the one of the model to the folder that the ` +
          `experiment starts from`,
      );
    }
    const config = readJsonOrNull(join(folder, "tokenizer_config.json")) ?? {};
    return new Tokenizer(tokenizer, config, path, modelVocabSize);
  }

  /**
   * Ids of a text after the tokenizer's own post-processor, which adds BOS and EOS where the model
   * wants them.
   *
   * @throws {UserError} If the post-processor adds a token that the vocabulary lacks, or the text has
   * one that the model lacks.
   */
  encode(text: string): Uint32Array<ArrayBuffer> {
    return this.#encode(text, true);
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
    return list.length === 0 ? "" : this.#tokenizer.decode(list, {
      skip_special_tokens: options.skipSpecialTokens ?? false,
      clean_up_tokenization_spaces: this.#cleansUpSpaces,
    });
  }

  #encode(text: string, addSpecialTokens: boolean): Uint32Array<ArrayBuffer> {
    const { ids, tokens } = this.#tokenizer.encode(text, { add_special_tokens: addSpecialTokens });
    const unknown = ids.findIndex((id) => id === undefined);
    if (unknown !== -1) {
      throw new UserError(
        `${this.#name}: the tokenizer makes the token "${tokens[unknown]}", which is not in its ` +
          `vocabulary; tokenizer.json contradicts itself`,
      );
    }
    ids.forEach((id, index) => this.#checkId(id, tokens[index]));
    return Uint32Array.from(ids);
  }

  #checkId(id: number, token: unknown): void {
    if (id < this.#modelVocabSize) return;
    throw new UserError(
      `${this.#name}: the token "${token}" has id ${id}, but the model has only ` +
        `${this.#modelVocabSize} tokens (vocab_size); give the model its own tokenizer`,
    );
  }

  #specialId(config: Record<string, unknown>, role: string): number | null {
    const token = config[role] ?? null;
    if (token === null) return null;
    const content = typeof token === "object" ? (token as { content?: unknown }).content : token;
    const id = typeof content === "string" ? this.#tokenizer.token_to_id(content) : undefined;
    if (id === undefined) {
      throw new UserError(
        `${this.#name}: tokenizer_config.json has ${role} ${JSON.stringify(content)}, which is ` +
          `not in the vocabulary`,
      );
    }
    // Others may lie beyond the model, which never reads them; this one is appended to texts.
    if (role === "eos_token") this.#checkId(id, content);
    return id;
  }
}

/** {@linkcode BpePieces} as the library wants it. */
class PieceSplitter extends PreTokenizer {
  readonly #pieces: BpePieces;

  constructor(merges: Iterable<unknown>) {
    super();
    this.#pieces = new BpePieces(merges);
  }

  override pre_tokenize_text(text: string): string[] {
    return this.#pieces.split(text);
  }
}

/** Whether a tokenizer merges a whole text as one word, by plain byte-pair encoding. */
function mergesWholeTexts(tokenizer: object): tokenizer is { model: { merges: unknown[] } } {
  const { pre_tokenizer: preTokenizer, model } = tokenizer as {
    pre_tokenizer?: unknown;
    model?: Record<string, unknown>;
  };
  return preTokenizer === null && model?.type === "BPE" && Array.isArray(model.merges) &&
    !model.end_of_word_suffix && !model.continuing_subword_prefix;
}
