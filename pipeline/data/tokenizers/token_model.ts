/**
 * What makes tokens of the pieces of a text.
 *
 * @module
 */

/** A vocabulary and its way to spell a piece with it. */
export interface TokenModel {
  /** Ids of tokens. */
  readonly vocabulary: ReadonlyMap<string, number>;
  /** Id of the token that stands for what the vocabulary cannot spell, or null. */
  readonly unknownId: number | null;
  /**
   * Ids of a piece; the array is not to be changed.
   *
   * @throws {UnspellableError} If the vocabulary cannot spell it and has no unknown token.
   */
  encode(piece: string): readonly number[];
}

/** A text that a vocabulary without an unknown token cannot spell. */
export class UnspellableError extends Error {
  override readonly name = "UnspellableError";
  /** What cannot be spelled. */
  readonly text: string;

  constructor(text: string) {
    super(`the vocabulary cannot spell ${JSON.stringify(text)} and has no unknown token`);
    this.text = text;
  }
}

/** Names of the tokens that stand for bytes where a vocabulary falls back on them. */
export const BYTE_TOKENS: readonly string[] = Array.from(
  { length: 256 },
  (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
);

const encoder = new TextEncoder();

/** Ids of the UTF-8 bytes of a text; null if the vocabulary lacks one. */
export function byteIds(
  text: string,
  vocabulary: ReadonlyMap<string, number>,
): number[] | null {
  const ids: number[] = [];
  for (const byte of encoder.encode(text)) {
    const id = vocabulary.get(BYTE_TOKENS[byte] ?? "");
    if (id === undefined) return null;
    ids.push(id);
  }
  return ids;
}
