/**
 * Rows with a `prompt` and a `completion` (TRL's prompt-completion): texts, or lists of messages.
 *
 * @module
 */

import { textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";
import { messagesOf } from "./messages.ts";

/** See the module documentation. */
export const promptCompletion: Importer = {
  name: "prompt-completion",
  summary: "`prompt`, read, and `completion`, learned: texts, or lists of messages",
  columns: ["prompt", "completion"],
  samples(fields) {
    if (!Array.isArray(fields.prompt)) {
      const prompt = textOf(fields, "prompt");
      return [{ kind: "completion", prompt, completion: textOf(fields, "completion") }];
    }
    const [prompt, completion] = [messagesOf(fields, "prompt"), messagesOf(fields, "completion")];
    return [{
      kind: "conversation",
      messages: [...prompt, ...completion],
      context: prompt.length,
      extra: fields,
    }];
  },
};
