// deno-lint-ignore-file no-non-null-assertion -- indices are bounded by the loops around them
/**
 * Log-probabilities of continuations of token ids. Every answer depends on its own request alone, to the
 * last bit: neither on the other requests nor on how many are computed at once.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { CHUNK_TOKENS, ChunkedModel } from "../../models/chunked_model.ts";
import type { LanguageModel } from "../../models/language_model.ts";
import { type HeadScores, ScoringHead } from "../../models/scoring_head.ts";
import { type PassToken, schedulePasses } from "./pass_schedule.ts";
import { cacheRows } from "./cache_rows.ts";
import type { Answer } from "./request.ts";
import { sharePrefixes } from "./shared_prefixes.ts";

/** Asks for the probability of each token of a continuation. */
export interface TokenRequest {
  /** At least one token. */
  readonly context: Uint32Array;
  /** At least one token; with the context at most one more than the model has positions. */
  readonly continuation: Uint32Array;
  /**
   * Also reports this many of the likeliest tokens.
   *
   * @default 0
   */
  readonly top?: number;
}

/** A token and the natural logarithm of its probability. */
export interface LikelyToken {
  readonly token: number;
  readonly logProbability: number;
}

/** One entry for each token of a continuation; logarithms are natural. */
export interface TokenScores {
  readonly logProbabilities: Float64Array;
  /** The likeliest token at each place, the one with the lowest id of equals. */
  readonly likeliest: Uint32Array;
  /** Of the likeliest tokens. */
  readonly likeliestLogProbabilities: Float64Array;
  /** The `top` likeliest tokens, those first; of equals the lower id. Empty without `top`. */
  readonly top: readonly (readonly LikelyToken[])[];
}

/** How to score. */
export interface ScoringOptions {
  /**
   * Texts that are in the cache of keys and values at the same time.
   *
   * @default 8
   */
  readonly batchSize?: number;
  /**
   * Tokens that a text can have without its last.
   *
   * @default the model's positions
   */
  readonly capacity?: number;
}

/** Tokens that are computed at once, at most. */
const PASS_TOKENS = 512;

/** A {@linkcode LanguageModel} that scores tokens; made once for any number of requests. */
export class TokenScorer {
  /** Tokens that a text can have without its last. */
  readonly capacity: number;
  readonly #model: LanguageModel;
  readonly #chunked: ChunkedModel;
  readonly #head: ScoringHead;

  /**
   * Allocates everything.
   *
   * @throws {UserError} If `capacity` exceeds the model's positions.
   * @throws {RangeError} If a tensor is larger than the device allows.
   */
  constructor(
    model: LanguageModel,
    { batchSize = 8, capacity = model.config.maxPositions }: ScoringOptions = {},
  ) {
    this.#model = model;
    this.capacity = capacity;
    const chunks = Math.min(
      PASS_TOKENS / CHUNK_TOKENS,
      batchSize * Math.ceil(capacity / CHUNK_TOKENS),
    );
    this.#chunked = new ChunkedModel(model, { batchSize, capacity, chunks });
    this.#head = new ScoringHead(model);
  }

  /**
   * Scores requests and yields each answer when it is complete. Requests that begin with the same tokens
   * share their computation.
   *
   * @throws {UserError} If the model computes NaN or infinities.
   * @throws {RangeError} If a request has no context or no continuation, an unknown token, or does not
   * fit the cache.
   */
  async *score(requests: readonly TokenRequest[]): AsyncGenerator<Answer<TokenScores>> {
    requests.forEach((request, index) => this.#check(request, index));
    const answers = new PartialAnswers(requests);
    const pending: PassToken[] = [];
    const { hiddenSize } = this.#model.config;
    const { device, final } = this.#chunked;
    const families = sharePrefixes(requests);
    for (
      const pass of schedulePasses(families, this.#chunked.batchSize, this.#chunked.chunks)
    ) {
      for (const { from, to, count } of pass.copies) this.#chunked.copyRow(from, to, count);
      this.#chunked.run(pass.chunks);
      for (let next = 0; next < pass.scored.length;) {
        // Tokens that follow one another are copied together.
        const room = this.#head.rows - pending.length;
        const run = runLength(pass.scored, next, room);
        const source = pass.scored[next]!.row * hiddenSize;
        const target = pending.length * hiddenSize;
        device.copy(final, source, this.#head.hidden, target, run * hiddenSize);
        pending.push(...pass.scored.slice(next, next + run));
        next += run;
        if (pending.length === this.#head.rows) yield* this.#answer(pending, answers);
      }
    }
    if (pending.length > 0) yield* this.#answer(pending, answers);
  }

  /** Frees everything but the model. */
  release(): void {
    this.#chunked.release();
    this.#head.release();
  }

  async *#answer(
    pending: PassToken[],
    answers: PartialAnswers,
  ): AsyncGenerator<Answer<TokenScores>> {
    const tokens = pending.splice(0);
    const scores = await this.#head.score(Uint32Array.from(tokens, ({ token }) => token));
    const logits = tokens.some(({ request }) => answers.wantsTop(request))
      ? await this.#head.logits(tokens.length)
      : null;
    yield* answers.add(tokens, scores, logits);
  }

  #check({ context, continuation }: TokenRequest, index: number): void {
    const { vocabSize } = this.#model.config;
    if (context.length === 0 || continuation.length === 0) {
      throw new RangeError(`Request ${index} has no token of context or continuation`);
    }
    const length = context.length + continuation.length - 1;
    if (length > this.capacity) {
      throw new RangeError(
        `Request ${index} has ${length} tokens without its last, more than ${this.capacity}`,
      );
    }
    const unknown = [context, continuation].map((ids) => ids.find((id) => id >= vocabSize))
      .find((id) => id !== undefined);
    if (unknown !== undefined) {
      throw new RangeError(`Request ${index} has the token ${unknown} of ${vocabSize}`);
    }
  }
}

/** Scores requests with a {@linkcode TokenScorer} of their own, as small as they allow. */
export async function* scoreTokens(
  model: LanguageModel,
  requests: readonly TokenRequest[],
  options: ScoringOptions = {},
): AsyncGenerator<Answer<TokenScores>> {
  if (requests.length === 0) return;
  const longest = requests.reduce(
    (most, { context, continuation }) => Math.max(most, context.length + continuation.length - 1),
    1,
  );
  const { batchSize = 8, capacity = longest } = options;
  const scorer = new TokenScorer(model, cacheRows(batchSize, capacity));
  try {
    yield* scorer.score(requests);
  } finally {
    scorer.release();
  }
}

/** How many tokens from `first` on, up to `most`, are predicted by rows that follow one another. */
function runLength(tokens: readonly PassToken[], first: number, most: number): number {
  let length = 1;
  const start = tokens[first]!.row;
  while (length < most && tokens[first + length]?.row === start + length) length++;
  return length;
}

/** Answers while their tokens come, in any order. */
class PartialAnswers {
  readonly #requests: readonly TokenRequest[];
  readonly #partial = new Map<number, { missing: number; readonly scores: TokenScores }>();

  constructor(requests: readonly TokenRequest[]) {
    this.#requests = requests;
  }

  wantsTop(request: number): boolean {
    return (this.#requests[request]?.top ?? 0) > 0;
  }

  /** Takes scores of tokens, and yields the answers that they complete. */
  *add(
    tokens: readonly PassToken[],
    scored: HeadScores,
    logits: Float32Array | Float64Array | null,
  ): Generator<Answer<TokenScores>> {
    for (const [row, { request, index }] of tokens.entries()) {
      const partial = this.#of(request);
      const logProbability = scored.logProbabilities[row]!;
      if (!Number.isFinite(logProbability)) {
        throw new UserError(
          `The model computes ${logProbability} for token ${index} of the continuation of request ${request}; its ` +
            `weights or activations overflow`,
        );
      }
      partial.scores.logProbabilities[index] = logProbability;
      partial.scores.likeliest[index] = scored.likeliest[row]!;
      const largest = partial.scores.likeliestLogProbabilities[index] = scored
        .likeliestLogProbabilities[row]!;
      const { top = 0 } = this.#requests[request]!;
      if (logits !== null && top > 0) {
        const size = logits.length / tokens.length;
        const list = partial.scores.top[index] as LikelyToken[];
        list.push(...largestLogits(logits.subarray(row * size, (row + 1) * size), top, largest));
      }
      if (--partial.missing > 0) continue;
      this.#partial.delete(request);
      yield { index: request, value: partial.scores };
    }
  }

  #of(request: number): { missing: number; readonly scores: TokenScores } {
    let partial = this.#partial.get(request);
    if (partial === undefined) {
      const missing = this.#requests[request]!.continuation.length;
      partial = {
        missing,
        scores: {
          logProbabilities: new Float64Array(missing),
          likeliest: new Uint32Array(missing),
          likeliestLogProbabilities: new Float64Array(missing),
          top: this.wantsTop(request) ? Array.from({ length: missing }, () => []) : [],
        },
      };
      this.#partial.set(request, partial);
    }
    return partial;
  }
}

/** The largest logits of a row as log-probabilities, given that of the largest. */
function largestLogits(
  logits: Float32Array | Float64Array,
  count: number,
  largest: number,
): LikelyToken[] {
  const order = Uint32Array.from(logits, (_, token) => token)
    .sort((left, right) => logits[right]! - logits[left]! || left - right);
  const most = logits[order[0]!]!;
  return Array.from(order.subarray(0, count), (token) => ({
    token,
    logProbability: largest + (logits[token]! - most),
  }));
}
