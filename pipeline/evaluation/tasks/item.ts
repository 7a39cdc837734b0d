/**
 * Items: a document, what a model is asked about it, and what it answered.
 *
 * @module
 */

import type { GenerationRequest, LogLikelihoodRequest } from "../requests/request.ts";
import { text as pythonText } from "../python/literal.ts";
import { FieldError } from "./fields.ts";
import type { Prompt } from "./prompt.ts";
import type { SampleResponse } from "./sample.ts";
import type { Document } from "./task_data.ts";
import type { Task } from "./task_node.ts";
import type { TaskConfig } from "./task_schema.ts";

/** What a model is asked about an item: one kind of request for each kind of task. */
export type ItemRequests =
  | { readonly kind: "likelihood"; readonly requests: readonly LogLikelihoodRequest[] }
  | { readonly kind: "rolling"; readonly requests: readonly string[] }
  | { readonly kind: "generation"; readonly requests: readonly GenerationRequest[] };

/** One item of a task. */
export interface Item {
  readonly task: Task;
  /** Place in its split, from 0. */
  readonly id: number;
  readonly document: Document;
  readonly prompt: Prompt;
  readonly asked: ItemRequests;
  /** By request; of generations there are several of one request. */
  readonly responses: SampleResponse[];
  /** Tokens that were cut from the left of its prompts. */
  truncated: number;
}

/** Tokens that generation is given where a task does not say. */
const MAX_NEW_TOKENS = 256;

/** Of Transformers, whose sampling the harness leaves as it is. */
const DEFAULT_TOP_K = 50;

/** @throws {FieldError} If there is nothing to ask, or the right answer is not among the choices. */
export function makeItem(task: Task, id: number, document: Document, prompt: Prompt): Item {
  const asked = requestsOf(task, prompt);
  return { task, id, document, prompt, asked, responses: [], truncated: 0 };
}

function requestsOf(task: Task, prompt: Prompt): ItemRequests {
  const { config } = task;
  const [context = ""] = prompt.contexts;
  switch (config.output_type) {
    case "multiple_choice":
      return { kind: "likelihood", requests: choiceRequests(config, prompt) };
    case "loglikelihood":
      return { kind: "likelihood", requests: [request(context, pythonText(prompt.target))] };
    case "loglikelihood_rolling": {
      const text = pythonText(prompt.target);
      if (text === "") throw new FieldError("the text is empty");
      return { kind: "rolling", requests: [text] };
    }
    case "generate_until": {
      const generation = generationSettings(config);
      const requests = Array.from(
        { length: config.repeats },
        (_, repeat) => ({ context, ...generation, ...(repeat > 0 ? { repeat } : {}) }),
      );
      return { kind: "generation", requests };
    }
  }
}

function choiceRequests(config: TaskConfig, prompt: Prompt): LogLikelihoodRequest[] {
  const { choices, contexts, gold, target } = prompt;
  const { target_delimiter: delimiter } = config;
  if (choices === null || choices.length === 0) throw new FieldError("there are no choices");
  checkGold(gold ?? target, choices);
  const requests = gold === null
    ? choices.map((choice) => request(contexts[0] ?? "", delimiter + choice))
    : contexts.map((context) => request(context, delimiter + pythonText(target)));
  const isMutual = (config.metric_list ?? []).some(({ metric }) => metric === "acc_mutual_info");
  return isMutual
    ? [...requests, ...choices.map((choice) => request("", delimiter + choice))]
    : requests;
}

function request(context: string, continuation: string): LogLikelihoodRequest {
  if (continuation === "") throw new FieldError("the continuation to score is empty");
  return { context, continuation };
}

/** The harness warns and counts such an item as wrong; here it is a bad item. */
function checkGold(gold: unknown, choices: readonly string[]): void {
  for (const answer of [gold].flat()) {
    const isThere = typeof answer === "number"
      ? Number.isInteger(answer) && answer >= 0 && answer < choices.length
      : choices.includes(String(answer));
    if (isThere) continue;
    throw new FieldError(
      `the right answer ${JSON.stringify(answer)} is none of the ${choices.length} choices`,
    );
  }
}

/** Settings of generation as the harness completes them. */
export function generationSettings(config: TaskConfig): Omit<GenerationRequest, "context"> {
  const given = config.generation_kwargs ?? {};
  const maxNewTokens = given.max_gen_toks ?? given.max_new_tokens ?? given.max_tokens ??
    given.max_completion_tokens ?? MAX_NEW_TOKENS;
  const isSampled = given.do_sample ?? (given.temperature ?? 0) > 0;
  return {
    until: [given.until ?? config.fewshot_delimiter].flat(),
    maxNewTokens,
    temperature: isSampled ? given.temperature ?? 1 : 0,
    ...(isSampled ? { topK: given.top_k ?? DEFAULT_TOP_K } : {}),
    ...(isSampled && given.top_p !== undefined ? { topP: given.top_p } : {}),
  };
}

/** Responses of an item, by request and repetition. */
export function responsesOf(item: Item): SampleResponse[][] {
  return item.asked.kind === "generation"
    ? [item.responses]
    : item.responses.map((response) => [response]);
}

/** Arguments of requests as the harness logs them. */
export function argumentsOf(item: Item): unknown[][] {
  const { asked } = item;
  switch (asked.kind) {
    case "likelihood":
      return asked.requests.map(({ context, continuation }) => [context, continuation]);
    case "rolling":
      return asked.requests.map((text) => [text]);
    case "generation": {
      const { config } = item.task;
      const settings = generationSettings(config);
      return [[asked.requests[0]?.context ?? "", {
        do_sample: settings.temperature > 0,
        temperature: settings.temperature,
        max_gen_toks: settings.maxNewTokens,
        ...config.generation_kwargs,
        until: settings.until,
      }]];
    }
  }
}
