/**
 * One model for many requests: they wait in a line, and those that can be computed together are.
 *
 * @module
 */

import type { Tokenizer } from "../data/tokenizer.ts";
import { generatePieces } from "../models/generate.ts";
import type { LanguageModel } from "../models/language_model.ts";
import { ContinuedText, type NewText } from "./continued_text.ts";
import { type PlaceScore, PromptScorer } from "./prompt_scores.ts";

/** How to continue the prompts of one request. */
export interface Sampling {
  readonly maxNewTokens: number;
  readonly stopTexts: readonly string[];
  /** 0 takes the likeliest token. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly seed: number;
}

/** A part of the continuation of one prompt. */
export interface ContinuationPiece extends NewText {
  /** Number of the prompt in its request. */
  readonly prompt: number;
}

/** Jobs of one key are computed together. */
interface Job {
  readonly key: unknown;
  readonly prompts: readonly Uint32Array[];
  /** Whether somebody still waits for it. */
  isWanted(): boolean;
  fail(error: unknown): void;
}

interface ScoringJob extends Job {
  readonly kind: "score";
  readonly alternatives: number;
  done(scores: readonly (readonly PlaceScore[])[]): void;
}

interface GenerationJob extends Job {
  readonly kind: "generate";
  readonly sampling: Sampling;
  piece(piece: ContinuationPiece): void;
  done(): void;
}

/** Prompts of one batch of jobs, at most, so that none waits for long. */
const BATCH_PROMPTS = 64;

/** Scores and continues prompts. No answer depends on what else is asked at the same time. */
export class Engine {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly #endTokens: ReadonlySet<number>;
  readonly #batchSize: number;
  readonly #scorer: PromptScorer;
  readonly #waiting: (ScoringJob | GenerationJob)[] = [];
  #work: Promise<void> | null = null;
  #isClosing = false;

  /**
   * @param options.endTokens Tokens that end a text.
   * @param options.batchSize Texts that are computed at once.
   */
  constructor(
    model: LanguageModel,
    tokenizer: Tokenizer,
    options: { readonly endTokens: ReadonlySet<number>; readonly batchSize: number },
  ) {
    this.model = model;
    this.tokenizer = tokenizer;
    this.#endTokens = options.endTokens;
    this.#batchSize = options.batchSize;
    this.#scorer = new PromptScorer(model, options.batchSize);
  }

  /** See {@linkcode PromptScorer.score}. */
  score(
    prompts: readonly Uint32Array[],
    alternatives: number,
    signal: AbortSignal,
  ): Promise<readonly (readonly PlaceScore[])[]> {
    return new Promise((done, fail) => {
      const key = `score ${alternatives}`;
      const isWanted = () => !signal.aborted;
      this.#add({ kind: "score", key, prompts, alternatives, isWanted, done, fail });
    });
  }

  /** Continues prompts; yields what is new of any of them as it comes. */
  async *generate(
    prompts: readonly Uint32Array[],
    sampling: Sampling,
    signal: AbortSignal,
  ): AsyncGenerator<ContinuationPiece> {
    let isRead = true;
    const isWanted = () => isRead && !signal.aborted;
    const pieces = new ReadableStream<ContinuationPiece>({
      start: (controller) => {
        this.#add({
          kind: "generate",
          key: batchKey(sampling),
          prompts,
          sampling,
          isWanted,
          piece: (piece) => isRead && controller.enqueue(piece),
          done: () => isRead && controller.close(),
          fail: (error) => isRead && controller.error(error),
        });
      },
      cancel: () => {
        isRead = false;
      },
    });
    yield* pieces;
  }

  /** What tokens say behind a prompt where no others will follow. */
  continuationOf(
    prompt: Uint32Array,
    tokens: readonly number[],
    stopTexts: readonly string[],
  ): NewText {
    return new ContinuedText(this.tokenizer, prompt, stopTexts, this.#endTokens)
      .append(tokens, true);
  }

  /** Ends what is generated after the next tokens, and waits for it; what is in the line fails. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const job of this.#waiting.splice(0)) job.fail(new Error("The server stops"));
    await this.#work;
    this.#scorer.release();
  }

  #add(job: ScoringJob | GenerationJob): void {
    this.#waiting.push(job);
    this.#work ??= this.#run();
  }

  async #run(): Promise<void> {
    await Promise.resolve(); // requests of one moment come together
    while (this.#waiting.length > 0) {
      const jobs = this.#takeBatch();
      try {
        const [first] = jobs;
        if (first?.kind === "score") await this.#score(jobs as ScoringJob[], first.alternatives);
        else if (first !== undefined) await this.#generate(jobs as GenerationJob[], first.sampling);
      } catch (error) {
        for (const job of jobs) job.fail(error);
      }
    }
    this.#work = null;
  }

  /** The first in the line, and those behind it that can be computed with it. */
  #takeBatch(): (ScoringJob | GenerationJob)[] {
    const batch: (ScoringJob | GenerationJob)[] = [];
    let prompts = 0;
    for (const job of this.#waiting.splice(0)) {
      const fits = batch.length === 0 ||
        job.key === batch[0]?.key && prompts + job.prompts.length <= BATCH_PROMPTS;
      if (!job.isWanted()) job.fail(new Error("Nobody waits for the answer"));
      else if (!fits) this.#waiting.push(job);
      else {
        batch.push(job);
        prompts += job.prompts.length;
      }
    }
    return batch;
  }

  async #score(jobs: readonly ScoringJob[], alternatives: number): Promise<void> {
    const scores = await this.#scorer.score(jobs.flatMap(({ prompts }) => prompts), alternatives);
    let first = 0;
    for (const { prompts, done } of jobs) done(scores.slice(first, first += prompts.length));
  }

  async #generate(jobs: readonly GenerationJob[], sampling: Sampling): Promise<void> {
    const texts = jobs.flatMap((job) =>
      job.prompts.map((tokens, prompt) => ({
        job,
        prompt,
        tokens,
        text: new ContinuedText(this.tokenizer, tokens, sampling.stopTexts, this.#endTokens),
      }))
    );
    const pieces = generatePieces(this.model, texts.map(({ tokens }) => tokens), {
      ...sampling,
      batchSize: this.#batchSize,
      independentRows: true,
      isComplete: (tokens, index) => {
        const { job, text } = at(texts, index);
        return this.#isClosing || !job.isWanted() || text.isComplete(tokens);
      },
    });
    for await (const { prompt: index, tokens, end } of pieces) {
      const { job, prompt, text } = at(texts, index);
      job.piece({ prompt, ...text.append(tokens, end === "length") });
    }
    for (const { done } of jobs) done();
  }
}

/** Greedy requests with equal limits are computed together; draws are numbered in each request. */
function batchKey({ temperature, maxNewTokens, stopTexts }: Sampling): unknown {
  return temperature === 0 ? JSON.stringify([maxNewTokens, stopTexts]) : Symbol();
}

function at<T>(list: readonly T[], index: number): T {
  const item = list[index];
  if (item === undefined) {
    throw new RangeError(`Index ${index} is outside a list of ${list.length}`);
  }
  return item;
}
