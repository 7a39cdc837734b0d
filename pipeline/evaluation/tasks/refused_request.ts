/**
 * Requests that a model refuses: it names them by number, people need file and line.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Answer, RequestModel } from "../requests/request.ts";

/** A model has refused one of the requests that it was asked together with others. */
export class RefusedRequest extends UserError {
  /** The request, as it was given to the model. */
  readonly request: unknown;

  /** @param message What is wrong, without a subject: "has an empty continuation". */
  constructor(message: string, request: unknown) {
    super(message);
    this.request = request;
  }
}

/** The sentence with which a {@linkcode RequestModel} refuses a request. */
const REFUSAL = /^Request (\d+) (.*)$/s;

/**
 * The same model, whose refusals hold the request. It stands right above the model: a journal in between
 * would count only the requests that it has no answers to.
 */
export function namingRefusals(model: RequestModel): RequestModel {
  return {
    logLikelihoods: (requests) => named(requests, model.logLikelihoods(requests)),
    rollingLogLikelihoods: (texts) => named(texts, model.rollingLogLikelihoods(texts)),
    generations: (requests) => named(requests, model.generations(requests)),
  };
}

async function* named<Value>(
  requests: readonly unknown[],
  answers: AsyncIterable<Answer<Value>>,
): AsyncGenerator<Answer<Value>> {
  try {
    yield* answers;
  } catch (error) {
    const [, index, message] = error instanceof UserError ? REFUSAL.exec(error.message) ?? [] : [];
    if (message === undefined) throw error;
    throw new RefusedRequest(message, requests[Number(index)]);
  }
}
