/**
 * Generation from text to text: prompts are tokenized, and continuations end where the model, or the
 * caller, ends a text.
 *
 * @module
 */

import { join } from "node:path";
import type { Tokenizer } from "../data/tokenizer.ts";
import { readJsonOrNull } from "../formats/files.ts";
import { generatePieces, type GenerationOptions } from "../models/generate.ts";
import type { LanguageModel } from "../models/language_model.ts";

/** How to continue texts. */
export interface TextGenerationOptions extends Omit<GenerationOptions, "stop" | "isComplete"> {
  /** Tokens that end a continuation; see {@linkcode endTokens}. */
  readonly stopTokens?: Iterable<number>;
  /** Texts that end a continuation, and do not belong to it. */
  readonly stopTexts?: readonly string[];
}

/** A part of one continuation. */
export interface TextPiece {
  /** Number of the prompt. */
  readonly prompt: number;
  /** What is new. */
  readonly text: string;
  /** Why this piece is the last one: a stop token or text, or `maxNewTokens`; null if it is not. */
  readonly end: "stop" | "length" | null;
}

/** A whole continuation. */
export interface GeneratedText {
  readonly text: string;
  readonly end: "stop" | "length";
}

/**
 * Continues texts and yields what is new as it comes. What may become a stop text, or is a part of a
 * character, waits for the next piece.
 *
 * @throws {UserError} As `generatePieces` of `models/generate.ts`.
 */
export async function* generateTextPieces(
  model: LanguageModel,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  options: TextGenerationOptions,
): AsyncGenerator<TextPiece> {
  const { stopTokens = [], stopTexts = [], ...others } = options;
  const ids = prompts.map((prompt) => promptTokens(tokenizer, prompt));
  const texts = ids.map((prompt) => new Continuation(tokenizer, prompt, stopTexts));
  const pieces = generatePieces(model, ids, {
    ...others,
    stop: stopTokens,
    isComplete: (tokens, prompt) => texts[prompt]?.isStopped(tokens) ?? false,
  });
  for await (const { prompt, tokens, end } of pieces) {
    const text = texts[prompt]?.append(tokens, end !== null) ?? "";
    yield { prompt, text, end: end === "complete" ? "stop" : end };
  }
}

/** Continues texts; the results are in their order. Throws as {@linkcode generateTextPieces}. */
export async function generateTexts(
  model: LanguageModel,
  tokenizer: Tokenizer,
  prompts: readonly string[],
  options: TextGenerationOptions,
): Promise<GeneratedText[]> {
  const results = prompts.map((): GeneratedText => ({ text: "", end: "length" }));
  for await (
    const { prompt, text, end } of generateTextPieces(model, tokenizer, prompts, options)
  ) {
    results[prompt] = { text: results[prompt]?.text + text, end: end ?? "length" };
  }
  return results;
}

/**
 * The tokens that end a text of a model: those that its `generation_config.json` or `config.json` names,
 * and its tokenizer's.
 */
export function endTokens(folder: string, tokenizer: Tokenizer): Set<number> {
  const named = ["generation_config.json", "config.json"]
    .map((file) => readJsonOrNull(join(folder, file))?.eos_token_id)
    .flat()
    .filter((id) => typeof id === "number");
  return new Set(tokenizer.eosId === null ? named : [...named, tokenizer.eosId]);
}

/** Tokens of a text that goes on: without the end that some tokenizers add. */
export function promptTokens(tokenizer: Tokenizer, prompt: string): Uint32Array {
  const ids = tokenizer.encode(prompt);
  return ids.length > 1 && ids.at(-1) === tokenizer.eosId ? ids.subarray(0, -1) : ids;
}

/** The text of a continuation while its tokens come. */
export class Continuation {
  readonly #tokenizer: Tokenizer;
  readonly #prompt: Uint32Array;
  readonly #promptText: string;
  readonly #stopTexts: readonly string[];
  readonly #tokens: number[] = [];
  /** Characters that {@linkcode Continuation.append} has returned. */
  #taken = 0;

  constructor(tokenizer: Tokenizer, prompt: Uint32Array, stopTexts: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#prompt = prompt;
    this.#promptText = this.#decode([]);
    this.#stopTexts = stopTexts.filter((stop) => stop !== "");
  }

  /** Whether the text of some tokens has a stop text. */
  isStopped(tokens: readonly number[]): boolean {
    return this.#stopTexts.length > 0 && this.#stopIn(this.#textOf(tokens)) >= 0;
  }

  /** What is new, and will not change any more, with some more tokens. */
  append(tokens: readonly number[], isLast: boolean): string {
    this.#tokens.push(...tokens);
    const text = this.#textOf(this.#tokens);
    const stop = this.#stopIn(text);
    const end = stop >= 0 ? stop : isLast ? text.length : this.#settled(text);
    const piece = text.slice(this.#taken, end);
    this.#taken = Math.max(this.#taken, end);
    return piece;
  }

  /** Decoders treat the first token of a text specially: a continuation has the prompt before it. */
  #textOf(tokens: readonly number[]): string {
    const text = this.#decode(tokens);
    return text.startsWith(this.#promptText)
      ? text.slice(this.#promptText.length)
      : this.#tokenizer.decode(tokens, { skipSpecialTokens: true });
  }

  #decode(tokens: readonly number[]): string {
    return this.#tokenizer.decode([...this.#prompt, ...tokens], { skipSpecialTokens: true });
  }

  /** Where the first stop text begins; negative if there is none. */
  #stopIn(text: string): number {
    const places = this.#stopTexts.map((stop) => text.indexOf(stop)).filter((place) => place >= 0);
    return places.length === 0 ? -1 : Math.min(...places);
  }

  /** The length of a text without what may be the beginning of a stop text or of a character. */
  #settled(text: string): number {
    const unfinished = this.#stopTexts.map((stop) => {
      let length = Math.min(stop.length - 1, text.length);
      while (!text.endsWith(stop.slice(0, length))) length--;
      return length;
    });
    const characters = /\uFFFD*$/.exec(text)?.[0].length ?? 0;
    return text.length - Math.max(characters, ...unfinished);
  }
}
