/**
 * What a run and its worker processes say to each other: JSON text sequences (RFC 7464) over the
 * standard streams. The record separator in front of each message tells it from stray output, even on
 * the same line; JSON itself never contains one.
 *
 * @module
 */

import type { StageEvent, StageTask } from "./executor.ts";

/** To a worker, on its standard input. The end of input means: abort and exit. */
export type WorkerRequest =
  | { readonly kind: "run"; readonly task: StageTask }
  | { readonly kind: "cancel" };

/** From a worker, on its standard output. */
export type WorkerMessage = StageEvent;

const RECORD_SEPARATOR = "\x1e";

/** One message as it is written. */
export function encodeMessage(message: WorkerRequest | WorkerMessage): Uint8Array {
  return new TextEncoder().encode(`${RECORD_SEPARATOR}${JSON.stringify(message)}\n`);
}

/** What a line holds: a message, or output that somebody printed. */
export type Line<Message> = { readonly message: Message } | { readonly text: string };

/** The messages and other lines of a stream. */
export async function* readMessages<Message>(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<Line<Message>> {
  for await (const line of linesOf(stream)) {
    const [text, message] = line.split(RECORD_SEPARATOR, 2) as [string, string?];
    if (text !== "" || message === undefined) yield { text };
    if (message !== undefined) yield parseMessage<Message>(message);
  }
}

/** A process that dies while it writes leaves half a message. */
function parseMessage<Message>(text: string): Line<Message> {
  try {
    return { message: JSON.parse(text) as Message };
  } catch {
    return { text };
  }
}

/** The lines of a stream of UTF-8 text, without their ends. */
export async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const lines = rest.split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
  if (rest !== "") yield rest;
}
