/**
 * Answers that come while the model writes them.
 *
 * @module
 */

import { ApiError } from "./api_error.ts";
import { echoed, type Prompt, samplingOf, type Usage, usageOf } from "./completions.ts";
import type { ContinuationPiece, Engine, Sampling } from "./engine.ts";
import { Frame } from "./frames.ts";
import type { ChatRequest, CompletionRequest } from "./request_schema.ts";

/** What a finished stream has cost. */
export type OnEnd = (usage: Usage) => void;

/**
 * The events of a streamed completion.
 *
 * @throws {ApiError} If the request asks for `logprobs`, which are known only at the end.
 */
export async function* completionEvents(
  engine: Engine,
  model: string,
  request: CompletionRequest,
  prompts: readonly Prompt[],
  signal: AbortSignal,
  onEnd: OnEnd,
): AsyncGenerator<object> {
  const frame = new Frame("text_completion", model);
  const sampling = samplingOf(request);
  for (const [index, prompt] of prompts.entries()) {
    const text = echoed(request, prompt);
    const end = sampling.maxNewTokens === 0 ? "length" as const : null;
    if (text === "" && end === null) continue;
    yield frame.of([{ text, index, logprobs: null, finish_reason: end }]);
  }
  const pieces = sampling.maxNewTokens === 0 ? [] : generated(engine, prompts, sampling, signal);
  let tokens = 0;
  for await (const { prompt: index, text, tokens: { length }, end } of pieces) {
    tokens += length;
    if (text === "" && end === null) continue;
    yield frame.of([{ text, index, logprobs: null, finish_reason: end }]);
  }
  const usage = usageOf(prompts, tokens);
  onEnd(usage);
  if (request.stream_options?.include_usage === true) yield frame.of([], usage);
}

/** The events of a streamed chat answer. */
export async function* chatEvents(
  engine: Engine,
  model: string,
  request: ChatRequest,
  prompt: Prompt,
  sampling: Sampling,
  signal: AbortSignal,
  onEnd: OnEnd,
): AsyncGenerator<object> {
  const frame = new Frame("chat.completion.chunk", model);
  const common = { index: 0, logprobs: null };
  yield frame.of([{ ...common, delta: { role: "assistant", content: "" }, finish_reason: null }]);
  let tokens = 0;
  for await (
    const { text, tokens: { length }, end } of generated(engine, [prompt], sampling, signal)
  ) {
    tokens += length;
    if (text === "" && end === null) continue;
    const delta = text === "" ? {} : { content: text };
    yield frame.of([{ ...common, delta, finish_reason: end }]);
  }
  const usage = usageOf([prompt], tokens);
  onEnd(usage);
  if (request.stream_options?.include_usage === true) yield frame.of([], usage);
}

/** @throws {ApiError} If a request wants what a stream cannot have. */
export function checkStream({ logprobs }: CompletionRequest): void {
  if ((logprobs ?? null) === null) return;
  throw new ApiError(400, "logprobs are known only when a text has ended; ask without stream", {
    param: "logprobs",
  });
}

function generated(
  engine: Engine,
  prompts: readonly Prompt[],
  sampling: Sampling,
  signal: AbortSignal,
): AsyncGenerator<ContinuationPiece> {
  return engine.generate(prompts.map(({ tokens }) => tokens), sampling, signal);
}
