// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Generation of any number of texts by a fixed number of sequences: a sequence that ends makes room
 * for the next prompt.
 *
 * @module
 */

import { keyOf } from "../../kernels/random.ts";
import { UserError } from "../errors.ts";
import { CachedModel, type SamplingOptions } from "./cached_model.ts";
import { commonPrefix } from "./common_prefix.ts";
import type { LanguageModel } from "./language_model.ts";

/** How to continue prompts. */
export interface GenerationOptions extends SamplingOptions {
  /** Tokens of a continuation at most. */
  readonly maxNewTokens: number;
  /**
   * Decides all draws, with the number of the prompt and the position of the token: what else is
   * generated at the same time changes none.
   *
   * @default 0
   */
  readonly seed?: number;
  /**
   * A number for the draws of each prompt.
   *
   * @default its place in the list
   */
  readonly numbers?: readonly number[];
  /** Tokens that end a continuation, and do not belong to it. */
  readonly stop?: Iterable<number>;
  /**
   * Asked when new tokens of a continuation have come, with all of them so far; true ends it.
   *
   * @default never
   */
  readonly isComplete?: (tokens: readonly number[], prompt: number) => boolean;
  /**
   * Sequences that grow at once.
   *
   * @default 8, or as many as there are prompts
   */
  readonly batchSize?: number;
  /**
   * Whether a continuation must be the same bits whatever is generated at the same time, which takes
   * slower kernels. Prompts that begin with the same tokens then share them.
   *
   * @default false
   */
  readonly independentRows?: boolean;
  /**
   * Tokens between two waits for the device.
   *
   * @default 16
   */
  readonly readEvery?: number;
}

/** New tokens of one continuation. */
export interface GeneratedPiece {
  /** Number of the prompt. */
  readonly prompt: number;
  readonly tokens: readonly number[];
  /** Of each token, natural logarithms, before temperature, top-k and top-p. */
  readonly logProbabilities: readonly number[];
  /** Why this piece is the last one; null if it is not. */
  readonly end: "stop" | "complete" | "length" | null;
}

/** A whole continuation. */
export interface Generation {
  readonly tokens: Uint32Array;
  /** Of each token; see {@linkcode GeneratedPiece}. */
  readonly logProbabilities: Float64Array;
  /** A token of `stop`, `isComplete`, or `maxNewTokens`. */
  readonly end: "stop" | "complete" | "length";
}

const NONE = new Uint32Array(0);

/** A sequence that is being continued. */
interface Growing {
  readonly prompt: number;
  readonly tokens: number[];
  /** Of its newest token. */
  position: number;
}

/**
 * Continues prompts and yields new tokens as they come.
 *
 * @throws {UserError} If a prompt is empty, has an unknown token or is too long for the model, or if
 * the model computes NaN.
 */
export async function* generatePieces(
  model: LanguageModel,
  prompts: readonly Uint32Array[],
  options: GenerationOptions,
): AsyncGenerator<GeneratedPiece> {
  const { maxNewTokens, readEvery = 16, batchSize: most = 8 } = options;
  const { seed = 0, isComplete = () => false, numbers, independentRows = false } = options;
  const stop = new Set(options.stop);
  for (const [name, value] of Object.entries({ maxNewTokens, readEvery, batchSize: most })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new UserError(`${name} is ${value}, but generation needs a whole number from 1 on`);
    }
  }
  checkPrompts(prompts, model.config.vocabSize);
  if (prompts.length === 0) return;
  const batchSize = Math.min(most, prompts.length);
  const longest = prompts.reduce((most, { length }) => Math.max(most, length), 0);
  const { device } = model;
  // The last token is never read back into the cache.
  const capacity = longest + maxNewTokens - 1;
  const cached = new CachedModel(model, { batchSize, capacity, independentRows });
  const drawn = device.tensor("u32", [readEvery, batchSize], "drawn tokens");
  const scores = device.tensor("f32", [readEvery, batchSize], "their log-probabilities");
  try {
    const slots: (Growing | null)[] = Array.from({ length: batchSize }, () => null);
    /** The prompt that each sequence had last. */
    const held: Uint32Array[] = [];
    let next = 0;
    while (true) {
      for (const [slot, growing] of slots.entries()) {
        if (growing !== null || next === prompts.length) continue;
        const tokens = prompts[next]!;
        const position = tokens.length - 1;
        // What a sequence generated lies behind its prompt, which is still there.
        const shared = independentRows ? commonPrefix(held[slot] ?? NONE, tokens) : 0;
        const start = Math.min(shared, position);
        cached.prefill(slot, tokens.subarray(start, position), start);
        held[slot] = tokens;
        device.write(cached.tokens, tokens.subarray(position), slot);
        const key = keyOf(seed, "sample", numbers?.[next] ?? next);
        device.write(cached.keys, Uint32Array.from(key), 2 * slot);
        slots[slot] = { prompt: next++, tokens: [], position };
      }
      const active = slots.filter((growing) => growing !== null);
      if (active.length === 0) return;
      const missing = active.map(({ tokens }) => maxNewTokens - tokens.length);
      const steps = Math.min(readEvery, Math.max(...missing));
      for (let step = 0; step < steps; step++) {
        // Sequences that have ended go on at position 0, where nothing is lost.
        const positions = slots.map((growing) => growing === null ? 0 : growing.position++);
        device.write(cached.positions, Uint32Array.from(positions));
        cached.step();
        cached.sample(options);
        device.copy(cached.tokens, 0, drawn, step * batchSize, batchSize);
        device.copy(cached.logProbabilities, 0, scores, step * batchSize, batchSize);
      }
      const [tokens, logProbabilities] = await Promise.all([
        device.readWords(drawn),
        device.readFloats(scores),
      ]);
      for (const [slot, growing] of slots.entries()) {
        if (growing === null) continue;
        const piece: { tokens: number[]; logProbabilities: number[] } = {
          tokens: [],
          logProbabilities: [],
        };
        let end: GeneratedPiece["end"] = null;
        for (let step = 0; step < steps && end === null; step++) {
          const token = tokens[step * batchSize + slot]!;
          const logProbability = logProbabilities[step * batchSize + slot]!;
          checkNumber(logProbability, growing);
          if (stop.has(token)) {
            end = "stop";
            break;
          }
          piece.tokens.push(token);
          piece.logProbabilities.push(logProbability);
          growing.tokens.push(token);
          if (growing.tokens.length === maxNewTokens) end = "length";
        }
        if (end !== "stop" && isComplete(growing.tokens, growing.prompt)) end = "complete";
        if (end !== null) slots[slot] = null;
        yield { prompt: growing.prompt, ...piece, end };
      }
    }
  } finally {
    cached.release();
    device.free(drawn);
    device.free(scores);
  }
}

/** Continues prompts; the results are in their order. Throws as {@linkcode generatePieces}. */
export async function generate(
  model: LanguageModel,
  prompts: readonly Uint32Array[],
  options: GenerationOptions,
): Promise<Generation[]> {
  const pieces: GeneratedPiece[][] = prompts.map(() => []);
  for await (const piece of generatePieces(model, prompts, options)) {
    pieces[piece.prompt]!.push(piece);
  }
  return pieces.map((list) => ({
    tokens: Uint32Array.from(list.flatMap(({ tokens }) => tokens)),
    logProbabilities: Float64Array.from(list.flatMap((piece) => piece.logProbabilities)),
    end: list.at(-1)?.end ?? "length",
  }));
}

function checkPrompts(prompts: readonly Uint32Array[], vocabSize: number): void {
  for (const [index, tokens] of prompts.entries()) {
    if (tokens.length === 0) {
      throw new UserError(`Prompt ${index} has no token; begin it with the model's first token`);
    }
    const unknown = tokens.find((token) => token >= vocabSize);
    if (unknown !== undefined) {
      throw new UserError(
        `Prompt ${index} has the token ${unknown}, but the model has ${vocabSize} tokens`,
      );
    }
  }
}

function checkNumber(logProbability: number, { prompt, tokens }: Growing): void {
  if (!Number.isNaN(logProbability)) return;
  throw new UserError(
    `The model computes NaN for token ${tokens.length} after prompt ${prompt}; its weights or ` +
      `activations overflow`,
  );
}
