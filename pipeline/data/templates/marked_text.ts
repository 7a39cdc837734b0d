/**
 * A text, and which parts of it are learned: what templates make of a sample.
 *
 * @module
 */

/** A part of a text that is learned. */
export interface LearnedSpan {
  /** Offset of its first character (UTF-16 code unit). */
  readonly start: number;
  /** Offset behind its last one. */
  readonly end: number;
  /** Whether it ends with a token that ends a turn, and so tells a model to stop. */
  readonly isClosed: boolean;
  /** The special token right behind it, which is not learned; null if there is none. */
  readonly tokenBehind: string | null;
}

/** See the module documentation. */
export interface MarkedText {
  readonly text: string;
  /** Ascending, apart from each other. */
  readonly learned: readonly LearnedSpan[];
  /** Whether BOS and its like are in the text already, so that the tokenizer must not add them. */
  readonly hasSpecialTokens: boolean;
}

/** A prompt, which is read, and a completion, which is learned. */
export function markCompletion(prompt: string, completion: string): MarkedText {
  const text = prompt + completion;
  return {
    text,
    learned: [{ start: prompt.length, end: text.length, isClosed: false, tokenBehind: null }],
    hasSpecialTokens: false,
  };
}

/** The same text, learned whole. */
export function learnAll(marked: MarkedText): MarkedText {
  const { text, learned } = marked;
  const last = learned.at(-1);
  const isClosed = last?.end === text.length && last.isClosed;
  const tokenBehind = last?.tokenBehind ?? null;
  return { ...marked, learned: [{ start: 0, end: text.length, isClosed, tokenBehind }] };
}
