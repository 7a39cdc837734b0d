/**
 * WinoGrande by partial evaluation: the text after the gap is scored after each of the two fillings.
 *
 * @module
 */

import { strip } from "../../python/text.ts";
import { FieldError, type Fields, textOf } from "../fields.ts";
import type { TaskFunctions } from "./task_functions.ts";

/** See the module documentation. */
export const winogrande: TaskFunctions = {
  task: "winogrande",
  fields: {
    "preprocess_winogrande.doc_to_text": (row) => {
      const answer = String(row.answer);
      if (answer === "1" || answer === "2") return Number(answer) - 1;
      throw new FieldError(
        `the column "answer" must be "1" or "2": found ${JSON.stringify(answer)}`,
      );
    },
    "preprocess_winogrande.doc_to_target": (row) => strip(gap(row).after),
    "preprocess_winogrande.doc_to_choice": (row) =>
      ["option1", "option2"].map((option) => gap(row).before + textOf(row, option)),
  },
};

function gap(row: Fields): { readonly before: string; readonly after: string } {
  const sentence = textOf(row, "sentence");
  const at = sentence.indexOf("_");
  if (at < 0) throw new FieldError('the column "sentence" has no gap, which is written as "_"');
  return { before: sentence.slice(0, at), after: sentence.slice(at + 1) };
}
