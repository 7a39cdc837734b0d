/**
 * Rows with `messages` (TRL's conversational format): `[{role, content}]`.
 *
 * @module
 */

import { BadRow, type Fields, objectsOf, textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";
import type { Message } from "./sample.ts";

/** See the module documentation. */
export const messages: Importer = {
  name: "messages",
  summary: "`messages`, a list of `{role, content}`",
  columns: ["messages"],
  samples: (fields) => [{
    kind: "conversation",
    messages: messagesOf(fields, "messages"),
    context: 0,
    extra: fields,
  }],
};

/**
 * The messages in a column.
 *
 * @throws {BadRow} If there are none, or one is no message.
 */
export function messagesOf(fields: Fields, name: string): Message[] {
  const found = objectsOf(fields, name).map((message) => ({
    ...message,
    role: textOf(message, "role"),
  }));
  if (found.length === 0) {
    throw new BadRow(`the list "${name}" is empty: there is nothing to learn`);
  }
  return found;
}
