/**
 * HellaSwag: contexts and endings without the marks of their source.
 *
 * @module
 */

import { capitalize, strip } from "../../python/text.ts";
import { type Fields, integerOf, textOf, textsOf } from "../fields.ts";
import type { TaskFunctions } from "./task_functions.ts";

/**
 * Takes out what WikiHow's layout left in a text. Order and single pass as in `preprocess` of
 * `lm_eval/tasks/hellaswag/utils.py`: runs of more than two spaces stay wider than one.
 */
export function cleanText(text: string): string {
  return strip(text)
    .replaceAll(" [title]", ". ")
    .replace(/\[[^\n]*?\]/g, "")
    .replaceAll("  ", " ");
}

/** See the module documentation. */
export const hellaswag: TaskFunctions = {
  task: "hellaswag",
  rows: {
    "utils.process_docs": (row) => "query" in row ? prepared(row) : clean(row),
  },
};

function clean(row: Fields): Fields {
  const context = `${textOf(row, "ctx_a")} ${capitalize(textOf(row, "ctx_b"))}`;
  return {
    ...row,
    query: cleanText(`${textOf(row, "activity_label")}: ${context}`),
    choices: textsOf(row, "endings").map(cleanText),
    gold: integerOf(row, "label"),
  };
}

/** Rows whose texts were cleaned by others, before this project saw them. */
function prepared(row: Fields): Fields {
  return { ...row, gold: integerOf(row, "label") };
}
