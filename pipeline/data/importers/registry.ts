/**
 * All importers. A new one is a file in this folder and a place in this list; of those whose columns a
 * dataset has, the first is taken.
 *
 * @module
 */

import { UserError } from "../../errors.ts";
import { alpaca } from "./alpaca.ts";
import { flan } from "./flan.ts";
import type { Importer } from "./importer.ts";
import { llmAdapters } from "./llm_adapters.ts";
import { messages } from "./messages.ts";
import { oasst1 } from "./oasst1.ts";
import { promptCompletion } from "./prompt_completion.ts";
import { selfInstruct } from "./self_instruct.ts";
import { sharegpt } from "./sharegpt.ts";
import { text } from "./text.ts";

/** All importers. */
export const IMPORTERS: readonly Importer[] = [
  messages,
  sharegpt,
  oasst1,
  promptCompletion,
  llmAdapters,
  selfInstruct,
  alpaca,
  flan,
  text,
];

/**
 * The importer of a name, or, for "auto", the first that knows the columns of a dataset.
 *
 * @param columns Those of its first row.
 * @throws {UserError} If there is none.
 */
export function importerFor(name: string, columns: readonly string[]): Importer {
  const found = IMPORTERS.find((importer) =>
    name === "auto"
      ? importer.columns.every((column) => columns.includes(column))
      : importer.name === name
  );
  if (found !== undefined) return found;
  throw new UserError(
    `The columns ${columns.join(", ") || "(none)"} are those of no known format (${
      IMPORTERS.map((importer) => importer.name).join(", ")
    }); say what is learned with prompt: and completion:, or what the columns are called with columns:`,
  );
}
