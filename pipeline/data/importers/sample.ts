/**
 * What a row of a dataset has to teach, whatever its columns are called.
 *
 * @module
 */

/** A text that is learned whole. */
export interface TextSample {
  readonly kind: "text";
  readonly text: string;
}

/** A prompt, which is read, and its completion, which is learned, as they are. */
export interface CompletionSample {
  readonly kind: "completion";
  readonly prompt: string;
  readonly completion: string;
}

/** A task in words, which a template makes a prompt of. */
export interface InstructionSample {
  readonly kind: "instruction";
  readonly instruction: string;
  /** What the instruction is about; empty if it needs nothing. */
  readonly input: string;
  /** What is learned. */
  readonly output: string;
}

/** One turn of a conversation; templates may read further keys (`tool_calls`, `name`). */
export interface Message {
  /** "system", "user", "assistant", or what else the chat template knows. */
  readonly role: string;
  /** A text, or what else the chat template takes. */
  readonly content?: unknown;
  readonly [key: string]: unknown;
}

/** A conversation, which a chat template makes a text of. */
export interface ConversationSample {
  readonly kind: "conversation";
  readonly messages: readonly Message[];
  /** How many messages at the beginning are only read, whoever wrote them. */
  readonly context: number;
  /** Other columns that chat templates read ("tools"). */
  readonly extra: Readonly<Record<string, unknown>>;
}

/** Any of them. */
export type Sample = TextSample | CompletionSample | InstructionSample | ConversationSample;
