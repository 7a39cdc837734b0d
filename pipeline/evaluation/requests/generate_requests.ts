// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Generation requests: prompts cut from the left, continuations cut where their texts say so.
 *
 * @module
 */

import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { generatePieces } from "../../models/generate.ts";
import type { LanguageModel } from "../../models/language_model.ts";
import { cacheRows } from "./cache_rows.ts";
import type { Answer, GenerationRequest } from "./request.ts";
import type { RequestTokenizer } from "./request_tokenizer.ts";

/** What requests are generated with. */
export interface GenerationEnvironment {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly texts: RequestTokenizer;
  /** Tokens of a prompt and its continuation together. */
  readonly maxLength: number;
  /** Continuations that grow at once. */
  readonly batchSize: number;
  /** Tokens that end a continuation. */
  readonly stopTokens: Iterable<number>;
  readonly seed: number;
}

/** A request with its tokens. */
interface Prompt {
  readonly index: number;
  readonly request: GenerationRequest;
  readonly tokens: Uint32Array;
  readonly truncated: number;
}

/**
 * Continues the contexts of requests. What a request gets depends on its own text and settings, and on
 * the seed, alone: equal requests get equal answers unless their `repeat` differs.
 *
 * @throws {UserError} If a request asks for more tokens than the model has positions, or has no token
 * of context, or the model computes NaN.
 */
export async function* generateRequests(
  environment: GenerationEnvironment,
  requests: readonly GenerationRequest[],
): AsyncGenerator<Answer<string>> {
  const prompts = requests.map((request, index) => promptOf(environment, request, index));
  const { model, tokenizer, batchSize, stopTokens, seed } = environment;
  for (const group of groupBySettings(prompts)) {
    // Neighbours begin alike, and those that need the largest cache come first.
    group.sort((left, right) => right.tokens.length - left.tokens.length);
    const { tokens: longest, request: { maxNewTokens, temperature, topK, topP } } = group[0]!;
    const rows = cacheRows(batchSize, longest.length + maxNewTokens);
    const made: number[][] = group.map(() => []);
    const texts = group.map(({ request: { until } }) =>
      new StoppedText(tokenizer, [...until, ...endTexts(tokenizer)])
    );
    const pieces = generatePieces(model, group.map(({ tokens }) => tokens), {
      ...{ maxNewTokens, temperature, seed, stop: stopTokens, independentRows: true },
      batchSize: rows.batchSize,
      ...(topK === undefined ? {} : { topK }),
      ...(topP === undefined ? {} : { topP }),
      numbers: group.map(drawNumber),
      isComplete: (tokens, prompt) => texts[prompt]!.isStopped(tokens),
    });
    for await (const { prompt, tokens, end } of pieces) {
      made[prompt]!.push(...tokens);
      if (end === null) continue;
      const { index, truncated } = group[prompt]!;
      const value = texts[prompt]!.finish(made[prompt]!);
      yield { index, value, ...(truncated > 0 && { truncated }) };
    }
  }
}

function promptOf(
  { texts, maxLength }: GenerationEnvironment,
  request: GenerationRequest,
  index: number,
): Prompt {
  const room = maxLength - request.maxNewTokens;
  if (room < 1) {
    throw new UserError(
      `Request ${index} asks for ${request.maxNewTokens} new tokens, but prompt and continuation ` +
        `have ${maxLength} positions together; ask for fewer`,
    );
  }
  const ids = texts.encode(request.context);
  const tokens = ids.length === 0 ? Uint32Array.of(texts.prefixId) : ids.subarray(-room);
  return { index, request, tokens, truncated: Math.max(0, ids.length - room) };
}

/**
 * The text of EOS ends a continuation even where the model spells it in other tokens, as in
 * lm-evaluation-harness (`handle_stop_sequences`).
 */
function endTexts(tokenizer: Tokenizer): string[] {
  return tokenizer.eosId === null ? [] : [tokenizer.decode([tokenizer.eosId])];
}

/** Requests that one generation can serve, in order of their first. */
function groupBySettings(prompts: readonly Prompt[]): Prompt[][] {
  const groups = Map.groupBy(prompts, ({ request }) => {
    const { maxNewTokens, temperature, topK, topP } = request;
    return [maxNewTokens, temperature, topK, topP].join(" ");
  });
  return [...groups.values()];
}

/** Tells the draws of requests apart by what they are: FNV-1a over the words of the prompt. */
function drawNumber({ tokens, request: { repeat = 0 } }: Prompt): number {
  let hash = 0x811c9dc5;
  for (const word of [...tokens, repeat]) {
    for (let shift = 0; shift < 32; shift += 8) {
      hash = Math.imul(hash ^ (word >>> shift & 0xff), 0x01000193) >>> 0;
    }
  }
  return hash;
}

/**
 * A continuation that ends at certain texts, as lm-evaluation-harness cuts it
 * (`lm_eval/models/utils.py`, `postprocess_generated_text`): it stops growing at the first token with
 * which it has one of the texts; then it is cut at the first place of each text in turn, in the order in
 * which they are given. Where two overlap, the order matters.
 */
export class StoppedText {
  readonly #tokenizer: Tokenizer;
  readonly #until: readonly string[];

  constructor(tokenizer: Tokenizer, until: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#until = until.filter((text) => text !== "");
  }

  /** Whether the text of some tokens has one of the texts that end it. */
  isStopped(tokens: readonly number[]): boolean {
    if (this.#until.length === 0) return false;
    const text = this.#decode(tokens);
    return this.#until.some((end) => text.includes(end));
  }

  /** What is left of a continuation that may have grown too long. */
  finish(tokens: readonly number[]): string {
    let count = tokens.length;
    while (count > 0 && this.isStopped(tokens.slice(0, count - 1))) count--;
    return this.#until.reduce(
      (text, end) => text.split(end, 1)[0] ?? "",
      this.#decode(tokens.slice(0, count)),
    );
  }

  #decode(tokens: readonly number[]): string {
    return this.#tokenizer.decode(tokens, { skipSpecialTokens: true });
  }
}
