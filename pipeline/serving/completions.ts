/**
 * `/v1/completions`: from a request to prompts, and from what the model says to an answer.
 *
 * @module
 */

import { promptTokens } from "../evaluation/text_generation.ts";
import type { Tokenizer } from "../data/tokenizer.ts";
import { ApiError } from "./api_error.ts";
import type { NewText } from "./continued_text.ts";
import type { Engine, Sampling } from "./engine.ts";
import { type LogProbabilities, logProbabilities } from "./log_probabilities.ts";
import type { PlaceScore } from "./prompt_scores.ts";
import type { ChatRequest, CompletionRequest } from "./request_schema.ts";
import type { TokenTexts } from "./token_texts.ts";

/** Tokens of a completion where `max_tokens` does not say: what OpenAI's API does. */
const DEFAULT_MAX_TOKENS = 16;

/** A text to go on from. */
export interface Prompt {
  readonly tokens: Uint32Array;
  /** As an answer with `echo` repeats it. */
  readonly text: string;
}

/** One answer to one prompt. */
export interface CompletionChoice {
  readonly text: string;
  readonly index: number;
  readonly logprobs: LogProbabilities | null;
  readonly finish_reason: "stop" | "length" | null;
}

/** Tokens that a request has cost. */
export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** The answer to one request but for its frame. */
export interface Completion {
  readonly choices: readonly CompletionChoice[];
  readonly usage: Usage;
}

/**
 * The prompts of a request as tokens.
 *
 * @throws {ApiError} If one is empty, has an unknown token, or does not fit the model.
 */
export function readPrompts(request: CompletionRequest, { tokenizer, model }: Engine): Prompt[] {
  const { prompt } = request;
  const list = typeof prompt === "string" || typeof prompt[0] === "number" ? [prompt] : prompt;
  const prompts = (list as readonly (string | readonly number[])[]).map((entry): Prompt =>
    typeof entry === "string"
      ? { tokens: promptTokens(tokenizer, entry), text: entry }
      : promptOfTokens(entry, tokenizer, model.config.vocabSize)
  );
  const limit = request.max_tokens ?? DEFAULT_MAX_TOKENS;
  for (const { tokens } of prompts) checkLength(tokens, limit, model.config.maxPositions);
  return prompts;
}

/** Settings of a request, with the defaults of OpenAI's API. */
export function samplingOf(
  request: CompletionRequest | ChatRequest,
  maxNewTokens: number = request.max_tokens ?? DEFAULT_MAX_TOKENS,
): Sampling {
  const { stop, top_k: topK, top_p: topP, temperature, seed } = request;
  return {
    maxNewTokens,
    stopTexts: (typeof stop === "string" ? [stop] : stop ?? []).filter((text) => text !== ""),
    temperature: temperature ?? 1,
    // As in vLLM, -1 and 0 are no limit.
    ...(typeof topK === "number" && topK > 0 ? { topK } : {}),
    ...(typeof topP === "number" && topP < 1 ? { topP } : {}),
    seed: seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
  };
}

/** Answers a request that is not streamed. */
export async function complete(
  engine: Engine,
  texts: TokenTexts,
  request: CompletionRequest,
  prompts: readonly Prompt[],
  signal: AbortSignal,
): Promise<Completion> {
  const sampling = samplingOf(request);
  const wanted = request.logprobs ?? null;
  const ids = prompts.map(({ tokens }) => tokens);
  // Where one likeliest token follows, the scores of the prompt name it.
  const isScored = wanted !== null && sampling.maxNewTokens === 1 && sampling.temperature === 0;
  const continued = isScored
    ? null
    : sampling.maxNewTokens === 0
    ? prompts.map(() => ({ text: "", tokens: [], end: "length" as const }))
    : await continuations(engine, ids, sampling, signal);
  if (wanted === null) {
    return answer(request, prompts, continued ?? [], prompts.map(() => null));
  }
  const whole = ids.map((tokens, index) =>
    Uint32Array.from([...tokens, ...continued?.[index]?.tokens ?? []])
  );
  const scores = await engine.score(whole, Math.max(1, wanted), signal);
  const ends = continued ?? prompts.map(({ tokens }, index) => {
    const [likeliest] = scores[index]?.at(-1)?.alternatives ?? [];
    const next = likeliest === undefined ? [] : [likeliest.token];
    return engine.continuationOf(tokens, next, sampling.stopTexts);
  });
  const logprobs = prompts.map(({ tokens }, index) => {
    const places = namedPlaces(scores[index] ?? [], isScored);
    const all = [...tokens, ...ends[index]?.tokens ?? []];
    const first = request.echo === true ? 0 : tokens.length;
    return logProbabilities(texts, all, places, { first, count: wanted });
  });
  return answer(request, prompts, ends, logprobs);
}

/** The prompt's own text, which comes first in an answer with `echo`. */
export function echoed(request: CompletionRequest, prompt: Prompt | undefined): string {
  return request.echo === true ? prompt?.text ?? "" : "";
}

/** What a request has cost. */
export function usageOf(prompts: readonly Prompt[], completionTokens: number): Usage {
  const promptTokens = prompts.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    prompt_tokens: promptTokens,
    completion_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

/**
 * Refuses what does not fit a model, in the words of OpenAI's API.
 *
 * @throws {ApiError} If `tokens` and `limit` more exceed `positions`, or there is no token.
 */
export function checkLength(tokens: Uint32Array, limit: number, positions: number): void {
  if (tokens.length === 0) {
    throw new ApiError(400, "A prompt has no token; begin it with the model's first token", {
      param: "prompt",
    });
  }
  const total = tokens.length + limit;
  if (total <= positions) return;
  throw new ApiError(
    400,
    `This model's maximum context length is ${positions} tokens, but ${total} were requested: ` +
      `${tokens.length} in the prompt, ${limit} in the completion; shorten the prompt, or ask ` +
      `for fewer tokens (max_tokens)`,
    { param: "prompt", code: "context_length_exceeded" },
  );
}

/** Whole continuations, in the order of their prompts. */
export async function continuations(
  engine: Engine,
  prompts: readonly Uint32Array[],
  sampling: Sampling,
  signal: AbortSignal,
): Promise<NewText[]> {
  const results = prompts.map((): NewText => ({ text: "", tokens: [], end: null }));
  for await (const { prompt, text, tokens, end } of engine.generate(prompts, sampling, signal)) {
    const before = results[prompt];
    if (before === undefined) continue;
    results[prompt] = {
      text: before.text + text,
      tokens: [...before.tokens, ...tokens],
      end,
    };
  }
  return results;
}

/** With the likeliest token behind the end of a prompt as the one that stands there. */
function namedPlaces(places: readonly PlaceScore[], isScored: boolean): readonly PlaceScore[] {
  const last = places.at(-1);
  const [likeliest] = last?.alternatives ?? [];
  if (!isScored || last === undefined || likeliest === undefined) return places;
  return [...places.slice(0, -1), { ...last, logProbability: likeliest.logProbability }];
}

function answer(
  request: CompletionRequest,
  prompts: readonly Prompt[],
  continued: readonly NewText[],
  logprobs: readonly (LogProbabilities | null)[],
): Completion {
  const completionTokens = continued.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return {
    choices: continued.map(({ text, end }, index) => ({
      text: echoed(request, prompts[index]) + text,
      index,
      logprobs: logprobs[index] ?? null,
      finish_reason: end,
    })),
    usage: usageOf(prompts, completionTokens),
  };
}

function promptOfTokens(
  ids: readonly number[],
  tokenizer: Tokenizer,
  vocabSize: number,
): Prompt {
  const unknown = ids.find((id) => id >= vocabSize);
  if (unknown !== undefined) {
    throw new ApiError(
      400,
      `A prompt has the token ${unknown}, but the model has ${vocabSize} tokens`,
      { param: "prompt" },
    );
  }
  return {
    tokens: Uint32Array.from(ids),
    text: tokenizer.decode(ids, { skipSpecialTokens: true }),
  };
}
