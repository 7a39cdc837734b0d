/**
 * All functions that task files can name.
 *
 * @module
 */

import { UserError } from "../../../errors.ts";
import { didYouMeanOf } from "../../../graph/suggestions.ts";
import type { FunctionReference } from "../task_yaml.ts";
import { arc, boolq, mmlu, openbookqa } from "./columns.ts";
import { hellaswag } from "./hellaswag.ts";
import { arithmetic, gsm8kLoftq } from "./numeric_answers.ts";
import type { TaskFunctions } from "./task_functions.ts";
import { wikitext } from "./wikitext.ts";
import { winogrande } from "./winogrande.ts";

const functions: readonly TaskFunctions[] = [
  arc,
  arithmetic,
  boolq,
  gsm8kLoftq,
  hellaswag,
  mmlu,
  openbookqa,
  wikitext,
  winogrande,
];

/** What a function is for. */
export type FunctionKind = "rows" | "fields" | "results";

type FunctionOf<Kind extends FunctionKind> = NonNullable<TaskFunctions[Kind]>[string];

/**
 * The function that a task file names.
 *
 * @param owners Names that the task goes by: of its folder, its data set, itself. The same name is a
 * different function in every task of the harness.
 * @throws {UserError} If there is no such function.
 */
export function findFunction<Kind extends FunctionKind>(
  reference: FunctionReference,
  kind: Kind,
  owners: readonly string[],
): FunctionOf<Kind> {
  const known: string[] = [];
  for (const entry of functions) {
    for (const [name, found] of Object.entries(entry[kind] ?? {})) {
      const full = `${entry.task}/${name}`;
      if (reference.function === full) return found as FunctionOf<Kind>;
      if (reference.function === name && owners.includes(entry.task)) {
        return found as FunctionOf<Kind>;
      }
      known.push(full);
    }
  }
  throw new UserError(
    `${reference.place}: !function ${reference.function} is Python, which is not run here, and has ` +
      `no counterpart${
        didYouMeanOf(reference.function, known)
      }. Write what it does as a template, ` +
      "or prepare the rows beforehand",
  );
}
