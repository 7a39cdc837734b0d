/**
 * What surrounds the choices of an answer, whole or in pieces.
 *
 * @module
 */

import type { CompletionChoice, Usage } from "./completions.ts";

/** A choice of `/v1/chat/completions`. */
export interface ChatChoice {
  readonly index: number;
  readonly message: { readonly role: "assistant"; readonly content: string };
  readonly logprobs: null;
  readonly finish_reason: "stop" | "length" | null;
}

/** What a chat choice has in an event: the message so far is what came before. */
export interface ChatDelta extends Omit<ChatChoice, "message"> {
  readonly delta: { readonly role?: "assistant"; readonly content?: string };
}

/** A choice of any kind of answer. */
export type Choice = CompletionChoice | ChatChoice | ChatDelta;

/** Makes the answers to one request, which share their id. */
export class Frame {
  readonly #kind: "text_completion" | "chat.completion" | "chat.completion.chunk";
  readonly #model: string;
  readonly #id: string;
  readonly #created = Math.floor(Date.now() / 1000);

  constructor(
    kind: "text_completion" | "chat.completion" | "chat.completion.chunk",
    model: string,
  ) {
    this.#kind = kind;
    this.#model = model;
    const prefix = kind === "text_completion" ? "cmpl" : "chatcmpl";
    this.#id = `${prefix}-${crypto.randomUUID().replaceAll("-", "")}`;
  }

  /** One answer or event. */
  of(choices: readonly Choice[], usage?: Usage): object {
    return {
      id: this.#id,
      object: this.#kind,
      created: this.#created,
      model: this.#model,
      choices,
      ...(usage === undefined ? {} : { usage }),
    };
  }
}
