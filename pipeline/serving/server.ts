/**
 * The routes of the server. What is wrong with a request is answered as a JSON error; what is wrong
 * with the program has status 500 and is shown to whoever runs the server.
 *
 * @module
 */

import type { ChatTemplateFiles } from "../data/templates/chat_template_files.ts";
import { isExpected } from "../graph/expected_error.ts";
import { ApiError } from "./api_error.ts";
import { renderChat } from "./chat_template.ts";
import {
  checkLength,
  complete,
  continuations,
  type Prompt,
  readPrompts,
  samplingOf,
  type Usage,
  usageOf,
} from "./completions.ts";
import type { Engine } from "./engine.ts";
import { eventStream } from "./event_stream.ts";
import { Frame } from "./frames.ts";
import { readBody } from "./request_body.ts";
import {
  parseChatRequest,
  parseCompletionRequest,
  parseDetokenizeRequest,
  parseTokenizeRequest,
} from "./request_schema.ts";
import { chatEvents, checkStream, completionEvents } from "./streams.ts";
import { TokenTexts } from "./token_texts.ts";

/** A model that is served. */
export interface ServedModel {
  /** What answers call it. */
  readonly name: string;
  readonly engine: Engine;
  readonly chatTemplate: ChatTemplateFiles;
}

/** An answered request, for whoever runs the server. */
export interface RequestRecord {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Null where no model was asked. */
  readonly usage: Usage | null;
  readonly milliseconds: number;
  /** What was wrong; null if nothing was. */
  readonly error: string | null;
  /** Where a defect of the program came from; null if there was none. */
  readonly trace: string | null;
}

/**
 * Answers requests about one model: `/v1/completions`, `/v1/chat/completions`, `/v1/models`,
 * `/health`, and `/tokenize`, `/detokenize` and `/tokenizer_info` as vLLM has them.
 *
 * @param onAnswer Called when a request is answered.
 */
export function makeHandler(
  served: ServedModel,
  onAnswer: (record: RequestRecord) => void,
): (request: Request) => Promise<Response> {
  const texts = new TokenTexts(served.engine.tokenizer);
  const routes = new Map<string, Route>([
    ["GET /health", () => Response.json({ status: "ok" })],
    ["GET /v1/models", () => Response.json(modelList(served))],
    ["GET /tokenizer_info", () => Response.json(tokenizerInfo(served))],
    ["POST /tokenize", (exchange) => tokenize(served, exchange)],
    ["POST /detokenize", (exchange) => detokenize(served, exchange)],
    ["POST /v1/completions", (exchange) => answerCompletion(served, texts, exchange)],
    ["POST /v1/chat/completions", (exchange) => answerChat(served, exchange)],
  ]);
  return async (request) => {
    const exchange = new Exchange(request, onAnswer);
    try {
      const response = await findRoute(routes, request)(exchange);
      if (!exchange.isStreamed) exchange.report(response.status, null);
      return response;
    } catch (error) {
      const answer = exchange.fail(error);
      return Response.json(answer, { status: answer.status });
    }
  };
}

type Route = (exchange: Exchange) => Response | Promise<Response>;

/** A request on its way to an answer. */
class Exchange {
  readonly request: Request;
  /** What the answer has cost. */
  usage: Usage | null = null;
  isStreamed = false;
  readonly #onAnswer: (record: RequestRecord) => void;
  readonly #started = performance.now();

  constructor(request: Request, onAnswer: (record: RequestRecord) => void) {
    this.request = request;
    this.#onAnswer = onAnswer;
  }

  stream(events: AsyncIterator<object>): Response {
    this.isStreamed = true;
    return eventStream(events, (failure) => {
      if (failure !== null) return this.fail(failure);
      this.report(200, null);
      return {};
    });
  }

  /** Reports what is wrong; returns what to answer. */
  fail(error: unknown): ApiError {
    const answer = error instanceof ApiError
      ? error
      : new ApiError(500, error instanceof Error ? error.message : String(error));
    this.report(answer.status, error);
    return answer;
  }

  report(status: number, failure: unknown): void {
    const isDefect = failure instanceof Error && !(failure instanceof ApiError) &&
      !isExpected(failure);
    this.#onAnswer({
      method: this.request.method,
      path: new URL(this.request.url).pathname,
      status,
      usage: this.usage,
      milliseconds: performance.now() - this.#started,
      error: failure === null ? null : failure instanceof Error ? failure.message : String(failure),
      trace: isDefect ? failure.stack ?? null : null,
    });
  }
}

function findRoute(routes: ReadonlyMap<string, Route>, { method, url }: Request): Route {
  const { pathname } = new URL(url);
  const path = pathname.length > 1 ? pathname.replace(/\/+$/, "") : pathname;
  const route = routes.get(`${method} ${path}`);
  if (route !== undefined) return route;
  const methods = [...routes.keys()].filter((name) => name.endsWith(` ${path}`))
    .map((name) => name.split(" ")[0]);
  if (methods.length > 0) {
    throw new ApiError(405, `${path} wants ${methods.join(" or ")}, not ${method}`);
  }
  const known = [...routes.keys()].map((name) => name.split(" ")[1]);
  throw new ApiError(404, `There is no ${path} here; there is ${known.join(", ")}`);
}

async function answerCompletion(
  { engine, name }: ServedModel,
  texts: TokenTexts,
  exchange: Exchange,
): Promise<Response> {
  const request = parseCompletionRequest(await readBody(exchange.request));
  const prompts = readPrompts(request, engine);
  const { signal } = exchange.request;
  if (request.stream === true) {
    checkStream(request);
    const onEnd = (usage: Usage) => exchange.usage = usage;
    return exchange.stream(completionEvents(engine, name, request, prompts, signal, onEnd));
  }
  const { choices, usage } = await complete(engine, texts, request, prompts, signal);
  exchange.usage = usage;
  return Response.json(new Frame("text_completion", name).of(choices, usage));
}

async function answerChat(
  { engine, name, chatTemplate }: ServedModel,
  exchange: Exchange,
): Promise<Response> {
  const request = parseChatRequest(await readBody(exchange.request));
  const { tokenizer, model: { config } } = engine;
  const text = renderChat(chatTemplate, request.messages);
  // Templates write the special tokens themselves.
  const tokens = tokenizer.encodeWithoutSpecialTokens(text);
  const rest = config.maxPositions - tokens.length;
  const limit = request.max_completion_tokens ?? request.max_tokens ?? Math.max(1, rest);
  checkLength(tokens, limit, config.maxPositions);
  const prompt: Prompt = { tokens, text };
  const sampling = samplingOf(request, limit);
  const { signal } = exchange.request;
  if (request.stream === true) {
    const onEnd = (usage: Usage) => exchange.usage = usage;
    return exchange.stream(chatEvents(engine, name, request, prompt, sampling, signal, onEnd));
  }
  const [answer] = await continuations(engine, [tokens], sampling, signal);
  exchange.usage = usageOf([prompt], answer?.tokens.length ?? 0);
  const message = { role: "assistant" as const, content: answer?.text ?? "" };
  const choice = { index: 0, message, logprobs: null, finish_reason: answer?.end ?? null };
  return Response.json(new Frame("chat.completion", name).of([choice], exchange.usage));
}

async function tokenize({ engine }: ServedModel, { request }: Exchange): Promise<Response> {
  const { prompt, add_special_tokens: special } = parseTokenizeRequest(await readBody(request));
  const { tokenizer, model: { config } } = engine;
  const ids = special ? tokenizer.encode(prompt) : tokenizer.encodeWithoutSpecialTokens(prompt);
  return Response.json({
    count: ids.length,
    max_model_len: config.maxPositions,
    tokens: [...ids],
  });
}

async function detokenize({ engine }: ServedModel, { request }: Exchange): Promise<Response> {
  const { tokens } = parseDetokenizeRequest(await readBody(request));
  return Response.json({ prompt: engine.tokenizer.decode(tokens) });
}

/** The tokens have their names also where the folder has no `tokenizer_config.json`. */
function tokenizerInfo({ engine: { tokenizer }, chatTemplate }: ServedModel): object {
  const nameOf = (id: number | null) => id === null ? null : tokenizer.decode([id]);
  return {
    bos_token: nameOf(tokenizer.bosId),
    eos_token: nameOf(tokenizer.eosId),
    pad_token: nameOf(tokenizer.padId),
    ...chatTemplate.roles,
    chat_template: chatTemplate.source,
  };
}

function modelList({ name, engine }: ServedModel): object {
  const { maxPositions } = engine.model.config;
  return {
    object: "list",
    data: [{ id: name, object: "model", owned_by: "equipoise", max_model_len: maxPositions }],
  };
}
