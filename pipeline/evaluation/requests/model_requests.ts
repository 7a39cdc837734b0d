// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * A language model that answers requests as lm-evaluation-harness has its models answer them.
 *
 * @module
 */

import type { Tokenizer } from "../../data/tokenizer.ts";
import { UserError } from "../../errors.ts";
import { CachedModel } from "../../models/cached_model.ts";
import type { LanguageModel } from "../../models/language_model.ts";
import { largestCache } from "./cache_rows.ts";
import { generateRequests } from "./generate_requests.ts";
import type {
  Answer,
  GenerationRequest,
  LogLikelihood,
  LogLikelihoodRequest,
  RequestModel,
  RollingLogLikelihood,
} from "./request.ts";
import {
  type BosPolicy,
  RequestTokenizer,
  type TruncatedPair,
  truncateLeft,
} from "./request_tokenizer.ts";
import { rollingWindows } from "./rolling_windows.ts";
import { scoreTokens, TokenScorer, type TokenScores } from "./score_tokens.ts";

/** How a model answers requests. */
export interface ModelRequestOptions {
  /**
   * Texts that are in the cache of keys and values at the same time, fewer where they are longer than
   * 1024 tokens; results do not depend on it.
   *
   * @default 8
   */
  readonly batchSize?: number;
  /**
   * Which texts begin with BOS.
   *
   * @default "tokenizer"
   */
  readonly bos?: BosPolicy;
  /**
   * Tokens that the model sees at most; contexts that are longer lose their left.
   *
   * @default the model's positions
   */
  readonly maxLength?: number;
  /**
   * Tokens that end generated texts.
   *
   * @default the tokenizer's EOS
   */
  readonly stopTokens?: Iterable<number>;
  /**
   * Decides the draws of generated texts.
   *
   * @default 0
   */
  readonly seed?: number;
}

/** Requests between two times that others may run while texts are encoded. */
const ENCODED_AT_ONCE = 256;

/** Answers requests with a {@linkcode LanguageModel}. */
export class ModelRequests implements RequestModel {
  readonly #model: LanguageModel;
  readonly #tokenizer: Tokenizer;
  readonly #texts: RequestTokenizer;
  readonly #maxLength: number;
  readonly #batchSize: number;
  readonly #stopTokens: readonly number[];
  readonly #seed: number;

  /**
   * Sets up nothing on the device: every call allocates what it needs and frees it.
   *
   * @throws {UserError} If `maxLength` exceeds the model's positions, or `bos` asks for a token that the
   * tokenizer does not name.
   */
  constructor(model: LanguageModel, tokenizer: Tokenizer, options: ModelRequestOptions = {}) {
    const { maxPositions } = model.config;
    const { batchSize = 8, bos, maxLength = maxPositions, seed = 0 } = options;
    if (!Number.isSafeInteger(maxLength) || maxLength < 1 || maxLength > maxPositions) {
      throw new UserError(
        `The longest text is to have ${maxLength} tokens, but the model has ${maxPositions} ` +
          `positions (max_position_embeddings); use 1 to ${maxPositions}`,
      );
    }
    this.#model = model;
    this.#tokenizer = tokenizer;
    this.#texts = new RequestTokenizer(tokenizer, bos);
    this.#maxLength = maxLength;
    this.#batchSize = batchSize;
    this.#stopTokens = [
      ...options.stopTokens ?? (tokenizer.eosId === null ? [] : [tokenizer.eosId]),
    ];
    this.#seed = seed;
  }

  /** See {@linkcode RequestModel}. */
  async *logLikelihoods(
    requests: readonly LogLikelihoodRequest[],
  ): AsyncGenerator<Answer<LogLikelihood>> {
    const pairs: TruncatedPair[] = [];
    for (const [index, { context, continuation }] of requests.entries()) {
      if (index % ENCODED_AT_ONCE === 0) await letOthersRun();
      pairs.push(this.#truncated(this.#texts.encodePair(context, continuation), index));
    }
    for await (const { index, value } of this.#score(pairs)) {
      const { continuation, truncated } = pairs[index]!;
      yield {
        index,
        value: {
          sum: sumOf(value.logProbabilities),
          isGreedy: continuation.every((token, place) => token === value.likeliest[place]),
          tokens: continuation.length,
        },
        ...(truncated > 0 && { truncated }),
      };
    }
  }

  /** See {@linkcode RequestModel}. A text without tokens has the sum 0. */
  async *rollingLogLikelihoods(
    texts: readonly string[],
  ): AsyncGenerator<Answer<RollingLogLikelihood>> {
    const windows: TruncatedPair[] = [];
    const answers: { readonly tokens: number; readonly sums: number[]; missing: number }[] = [];
    /** Of each window: its text, and which of the text's windows it is. */
    const places: { readonly text: number; readonly window: number }[] = [];
    for (const [text, content] of texts.entries()) {
      if (text % ENCODED_AT_ONCE === 0) await letOthersRun();
      const tokens = this.#texts.encode(content);
      const own = tokens.length === 0
        ? []
        : rollingWindows(tokens, this.#texts.prefixId, this.#maxLength);
      own.forEach((pair, window) => {
        windows.push({ ...pair, truncated: 0 });
        places.push({ text, window });
      });
      answers.push({ tokens: tokens.length, sums: [], missing: own.length });
      if (own.length === 0) yield { index: text, value: { sum: 0, tokens: 0 } };
    }
    for await (const { index, value } of this.#score(windows)) {
      const { text, window } = places[index]!;
      const answer = answers[text]!;
      answer.sums[window] = sumOf(value.logProbabilities);
      if (--answer.missing > 0) continue;
      // In order of the windows, whichever was computed last.
      yield { index: text, value: { sum: sumOf(answer.sums), tokens: answer.tokens } };
    }
  }

  /** See {@linkcode RequestModel}. */
  generations(requests: readonly GenerationRequest[]): AsyncGenerator<Answer<string>> {
    return generateRequests({
      ...{ model: this.#model, tokenizer: this.#tokenizer, texts: this.#texts },
      ...{ maxLength: this.#maxLength, batchSize: this.#batchSize, seed: this.#seed },
      stopTokens: this.#stopTokens,
    }, requests);
  }

  #score(pairs: readonly TruncatedPair[]): AsyncGenerator<Answer<TokenScores>> {
    return scoreTokens(this.#model, pairs, { batchSize: this.#batchSize });
  }

  #truncated(
    pair: { readonly context: Uint32Array; readonly continuation: Uint32Array },
    index: number,
  ): TruncatedPair {
    const { length } = pair.continuation;
    if (length === 0) {
      throw new UserError(
        `Request ${index} has an empty continuation: nothing of it can be scored; give it a text`,
      );
    }
    if (length > this.#maxLength) {
      throw new UserError(
        `Request ${index} has a continuation of ${length} tokens, more than the ` +
          `${this.#maxLength} that the model sees; shorten it, or score it as a rolling text`,
      );
    }
    return truncateLeft(pair, this.#maxLength);
  }
}

/** What {@linkcode rehearseRequests} prepares for. */
export interface RequestRehearsal {
  readonly batchSize: number;
  /** As for {@linkcode ModelRequests}. */
  readonly maxLength?: number;
  /** Whether continuations or texts will be scored, and whether texts will be generated. */
  readonly kinds: readonly ("scores" | "generations")[];
}

/**
 * Allocates, and frees again, what answers to requests can need: the most, unless a single text is longer
 * than the whole cache of a batch of common ones.
 */
export function rehearseRequests(
  model: LanguageModel,
  { batchSize, maxLength = model.config.maxPositions, kinds }: RequestRehearsal,
): void {
  for (const kind of kinds) {
    const shape = largestCache(batchSize, maxLength);
    const allocated = kind === "scores"
      ? new TokenScorer(model, shape)
      : new CachedModel(model, { ...shape, independentRows: true });
    allocated.release();
  }
}

function sumOf(values: Iterable<number>): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum;
}

/** Encoding many texts takes a minute: timers and signals have their turn meanwhile. */
async function letOthersRun(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
}
