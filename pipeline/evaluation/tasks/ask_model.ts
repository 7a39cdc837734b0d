/**
 * Puts the requests of items to a model, and counts what comes back.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import type { Answer, RequestModel } from "../requests/request.ts";
import type { Item } from "./item.ts";
import { RefusedRequest } from "./refused_request.ts";
import type { SampleResponse } from "./sample.ts";

/** What becomes of an item whose prompt is longer than the model's context. */
export type LongPromptPolicy = "truncate" | "error" | "skip";

/** What happens to items while they are asked. */
export interface ItemEvents {
  /** All requests of the item are answered. */
  answered(item: Item): void;
  /** The model refuses the item, which is then left out; throws where that is an error. */
  refused(item: Item, message: string): void;
}

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
  events: ItemEvents,
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
    // What was answered before another item was refused is answered again, and the same.
    if (item.responses[slot] !== undefined) return;
    item.responses[slot] = response;
    item.truncated = Math.max(item.truncated, truncated);
    const rest = (left.get(item) ?? 0) - 1;
    left.set(item, rest);
    if (rest === 0) events.answered(item);
  };

  const likelihoods = requestsOf(items, "likelihood");
  const scored = ask(likelihoods, (requests) => model.logLikelihoods(requests), events);
  for await (const { asked, value, truncated } of scored) {
    answer(asked, [value.sum, value.isGreedy], truncated);
  }
  const texts = requestsOf(items, "rolling");
  const rolled = ask(texts, (requests) => model.rollingLogLikelihoods(requests), events);
  for await (const { asked, value, truncated } of rolled) answer(asked, value.sum, truncated);
  const generations = requestsOf(items, "generation");
  const generated = ask(generations, (requests) => model.generations(requests), events);
  for await (const { asked, value, truncated } of generated) answer(asked, value, truncated);
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

interface Reply<Value> {
  readonly asked: Asked<unknown>;
  readonly value: Value;
  readonly truncated?: number;
}

/** Asks again without an item that is refused: models refuse before they answer. */
async function* ask<Request, Value>(
  asked: readonly Asked<Request>[],
  put: (requests: readonly Request[]) => AsyncIterable<Answer<Value>>,
  events: ItemEvents,
): AsyncGenerator<Reply<Value>> {
  for (let left = asked; left.length > 0;) {
    try {
      for await (const { index, ...reply } of put(left.map(({ request }) => request))) {
        const found = left[index];
        if (found === undefined) throw new RangeError(`There is no request ${index} to answer`);
        yield { asked: found, ...reply };
      }
      return;
    } catch (error) {
      const refused = error instanceof RefusedRequest
        ? left.find(({ request }) => request === error.request)
        : undefined;
      if (!(error instanceof RefusedRequest) || refused === undefined) throw error;
      events.refused(refused.item, `the model refuses a request, which ${error.message}`);
      left = left.filter(({ item }) => item !== refused.item);
    }
  }
}
