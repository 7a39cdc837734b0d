/**
 * What a kind of tokenizer does: the class `Tokenizer` in front of it is the same for all.
 *
 * @module
 */

/** Tokens by their role. */
export interface RoleTokens {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly pad: number | null;
}

/** One kind of tokenizer, read from its files. */
export abstract class TokenizerBackend {
  /** File or folder that it was read from, for messages. */
  abstract readonly name: string;
  /** One more than the largest token id. */
  abstract readonly vocabSize: number;
  /** Tokens by their role. */
  abstract readonly roles: RoleTokens;
  /** Id of the token that stands for what the vocabulary cannot spell, or null. */
  abstract readonly unknownId: number | null;

  /**
   * Ids of a text without lone surrogates.
   *
   * @param addSpecialTokens Whether BOS, EOS and their like are put around it.
   * @throws {UserError} If the vocabulary cannot spell the text and has no unknown token.
   */
  abstract encode(text: string, addSpecialTokens: boolean): number[];

  /** Text of ids; ids without a token are left out. */
  abstract decode(ids: readonly number[], skipSpecialTokens: boolean): string;

  /** The token of an id as the vocabulary writes it, for messages. */
  abstract token(id: number): string | undefined;
}
