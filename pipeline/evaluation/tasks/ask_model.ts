/**
 * Puts the requests of items to a model, and counts what comes back.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Answer, RequestModel } from "../requests/request.ts";
import type { Item } from "./item.ts";
import type { SampleResponse } from "./sample.ts";

/** What becomes of an item whose prompt is longer than the model's context. */
export type LongPromptPolicy = "truncate" | "error" | "skip";

/** Is called for every item that is answered. */
export type OnAnswered = (item: Item) => void;

/** A request, of many items that are asked together. */
interface Asked<Request> {
  readonly item: Item;
  /** Place among the responses of its item. */
  readonly slot: number;
  readonly request: Request;
}

/**
 * Asks everything at once, so that the model may order and batch the requests as it likes. Responses
 * go into the items.
 *
 * @throws {UserError} If a prompt is too long and that is an error.
 */
export async function askModel(
  model: RequestModel,
  items: readonly Item[],
  onLongPrompt: LongPromptPolicy,
  onAnswered: OnAnswered,
): Promise<void> {
  const left = new Map(items.map((item) => [item, item.asked.requests.length]));
  const answer = (
    { item, slot }: Asked<unknown>,
    response: SampleResponse,
    truncated = 0,
  ) => {
    if (truncated > 0 && onLongPrompt === "error") {
      throw new UserError(
        `${item.document.place}: the prompt is ${truncated} tokens longer than the model's context; ` +
          "ask with fewer examples, or set on_long_prompt: truncate or skip",
      );
    }
    item.responses[slot] = response;
    item.truncated = Math.max(item.truncated, truncated);
    const rest = (left.get(item) ?? 0) - 1;
    left.set(item, rest);
    if (rest === 0) onAnswered(item);
  };

  const likelihoods = requestsOf(items, "likelihood");
  for await (const reply of ask(likelihoods, (requests) => model.logLikelihoods(requests))) {
    const { sum, isGreedy } = reply.value;
    answer(at(likelihoods, reply.index), [sum, isGreedy], reply.truncated);
  }
  const texts = requestsOf(items, "rolling");
  for await (const reply of ask(texts, (requests) => model.rollingLogLikelihoods(requests))) {
    answer(at(texts, reply.index), reply.value.sum, reply.truncated);
  }
  const generations = requestsOf(items, "generation");
  for await (const reply of ask(generations, (requests) => model.generations(requests))) {
    answer(at(generations, reply.index), reply.value, reply.truncated);
  }
}

type Kind = Item["asked"]["kind"];
type RequestOf<K extends Kind> = Extract<Item["asked"], { kind: K }>["requests"][number];

function requestsOf<K extends Kind>(items: readonly Item[], kind: K): Asked<RequestOf<K>>[] {
  return items.flatMap((item) =>
    item.asked.kind === kind
      ? (item.asked.requests as readonly RequestOf<K>[])
        .map((request, slot) => ({ item, slot, request }))
      : []
  );
}

async function* ask<Request, Value>(
  asked: readonly Asked<Request>[],
  put: (requests: readonly Request[]) => AsyncIterable<Answer<Value>>,
): AsyncGenerator<Answer<Value>> {
  if (asked.length > 0) yield* put(asked.map(({ request }) => request));
}

function at<Request>(asked: readonly Asked<Request>[], index: number): Asked<Request> {
  const found = asked[index];
  if (found === undefined) {
    throw new RangeError(`The model answered request ${index}, which is none`);
  }
  return found;
}
