/**
 * What the server understands: requests of OpenAI's completions API, and of the tokenizer routes of
 * vLLM, which lm-evaluation-harness asks.
 *
 * A parameter that would change the answer and that this server does not have is refused by name.
 *
 * @module
 */

import { z } from "zod";
import { ApiError } from "./api_error.ts";

/** Most alternatives that `logprobs` may ask for. */
const MOST_ALTERNATIVES = 20;

const tokenId = z.int().min(0);
const nullable = <Schema extends z.ZodType>(schema: Schema) => schema.nullish();
/** Allowed, but only with the value that changes nothing. */
const neutral = (value: number) => nullable(z.literal(value));

const common = {
  model: z.string().optional(),
  temperature: nullable(z.number().min(0)),
  top_p: nullable(z.number().gt(0).max(1)),
  top_k: nullable(z.int().min(-1)),
  seed: nullable(z.int()),
  stop: nullable(z.union([z.string(), z.array(z.string())])),
  stream: nullable(z.boolean()),
  stream_options: nullable(z.strictObject({ include_usage: z.boolean().optional() })),
  n: neutral(1),
  frequency_penalty: neutral(0),
  presence_penalty: neutral(0),
  user: z.string().optional(),
};

const prompts = z.union([
  z.string(),
  z.array(z.string()).min(1),
  z.array(tokenId).min(1),
  z.array(z.array(tokenId).min(1)).min(1),
], { error: "wanted a text, a list of texts, a list of token ids or a list of such lists" });

const completionSchema = z.strictObject({
  ...common,
  prompt: prompts,
  max_tokens: nullable(z.int().min(0)),
  echo: nullable(z.boolean()),
  logprobs: nullable(z.int().min(0).max(MOST_ALTERNATIVES)),
  best_of: neutral(1),
});

const textPart = z.strictObject({ type: z.literal("text"), text: z.string() });

const content = z.union([
  z.string(),
  z.array(textPart).transform((parts) => parts.map(({ text }) => text).join("")),
], { error: "wanted a text, or a list of parts of the type text" });

const chatSchema = z.strictObject({
  ...common,
  messages: z.array(z.looseObject({ role: z.string(), content })).min(1),
  max_tokens: nullable(z.int().min(1)),
  max_completion_tokens: nullable(z.int().min(1)),
});

const tokenizeSchema = z.strictObject({
  model: z.string().optional(),
  prompt: z.string(),
  add_special_tokens: z.boolean().default(true),
});

const detokenizeSchema = z.strictObject({
  model: z.string().optional(),
  tokens: z.array(tokenId),
});

/** Body of `POST /v1/completions`. */
export type CompletionRequest = z.output<typeof completionSchema>;

/** Body of `POST /v1/chat/completions`. */
export type ChatRequest = z.output<typeof chatSchema>;

/** Body of `POST /tokenize`. */
export type TokenizeRequest = z.output<typeof tokenizeSchema>;

/** Body of `POST /detokenize`. */
export type DetokenizeRequest = z.output<typeof detokenizeSchema>;

/** Reads the body of `POST /v1/completions`. @throws {ApiError} If something is wrong with it. */
export function parseCompletionRequest(body: unknown): CompletionRequest {
  return parse(completionSchema, body);
}

/** Reads the body of `POST /v1/chat/completions`. @throws {ApiError} If something is wrong with it. */
export function parseChatRequest(body: unknown): ChatRequest {
  return parse(chatSchema, body);
}

/** Reads the body of `POST /tokenize`. @throws {ApiError} If something is wrong with it. */
export function parseTokenizeRequest(body: unknown): TokenizeRequest {
  return parse(tokenizeSchema, body);
}

/** Reads the body of `POST /detokenize`. @throws {ApiError} If something is wrong with it. */
export function parseDetokenizeRequest(body: unknown): DetokenizeRequest {
  return parse(detokenizeSchema, body);
}

function parse<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const unknown = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  if (unknown !== undefined) {
    throw new ApiError(400, `This server does not know the parameter "${unknown}"`, {
      param: unknown,
    });
  }
  const param = issue?.path.map(String).join(".") || null;
  const place = param === null ? "The body" : `"${param}"`;
  throw new ApiError(400, `${place} is not understood: ${issue?.message}`, { param });
}
