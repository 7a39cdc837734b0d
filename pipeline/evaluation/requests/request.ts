/**
 * What tasks ask of a model: texts in, numbers or texts out. Tasks know nothing of tokens, batches or
 * caches; what answers the requests knows nothing of tasks.
 *
 * @module
 */

/** Asks for the probability of a continuation of a text. */
export interface LogLikelihoodRequest {
  readonly context: string;
  readonly continuation: string;
}

/** Log-likelihood of a continuation. */
export interface LogLikelihood {
  /** Sum of `log p` over the tokens of the continuation, natural logarithm. */
  readonly sum: number;
  /** Whether every token is the likeliest one at its place. */
  readonly isGreedy: boolean;
  /** Tokens of the continuation. */
  readonly tokens: number;
}

/** Asks for a continuation of a text. */
export interface GenerationRequest {
  readonly context: string;
  /** Texts that end the continuation; they are not part of it. */
  readonly until: readonly string[];
  readonly maxNewTokens: number;
  /** 0 takes the likeliest token. */
  readonly temperature: number;
  readonly topK?: number;
  readonly topP?: number;
  /**
   * Which of several draws for one prompt this is; equal requests get equal answers.
   *
   * @default 0
   */
  readonly repeat?: number;
}

/** Log-likelihood of a whole text, in windows where it is longer than the model's context. */
export interface RollingLogLikelihood {
  /** Sum of `log p` over all tokens of the text. */
  readonly sum: number;
  readonly tokens: number;
}

/** `value` answers request `index`; answers come in the order in which they are computed. */
export interface Answer<Value> {
  readonly index: number;
  readonly value: Value;
  /** Tokens of the context that the model had no room for and that were cut from its left; 0 if absent. */
  readonly truncated?: number;
}

/** A model that answers requests. Results do not depend on which requests are made together. */
export interface RequestModel {
  /** Throws UserError for an empty continuation, by its number. */
  logLikelihoods(requests: readonly LogLikelihoodRequest[]): AsyncIterable<Answer<LogLikelihood>>;
  rollingLogLikelihoods(texts: readonly string[]): AsyncIterable<Answer<RollingLogLikelihood>>;
  generations(requests: readonly GenerationRequest[]): AsyncIterable<Answer<string>>;
}
