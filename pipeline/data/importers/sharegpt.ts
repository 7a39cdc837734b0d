/**
 * ShareGPT's conversations, as FastChat keeps them: `conversations` is a list of `{from, value}`.
 *
 * @module
 */

import { BadRow, objectsOf, textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";

/** Who speaks, by what the files call them; other names are roles already. */
const ROLES: Readonly<Record<string, string>> = {
  human: "user",
  gpt: "assistant",
  chatgpt: "assistant",
  bing: "assistant",
  bard: "assistant",
  function_call: "assistant",
  observation: "tool",
};

/** See the module documentation. */
export const sharegpt: Importer = {
  name: "sharegpt",
  summary: "`conversations`, a list of `{from: human or gpt, value}`",
  columns: ["conversations"],
  samples(fields) {
    const turns = objectsOf(fields, "conversations");
    if (turns.length === 0) {
      throw new BadRow('the list "conversations" is empty: there is nothing to learn');
    }
    const messages = turns.map((turn) => {
      const from = textOf(turn, "from");
      return { role: ROLES[from] ?? from, content: textOf(turn, "value") };
    });
    return [{ kind: "conversation", messages, context: 0, extra: fields }];
  },
};
