/**
 * Tasks of Self-Instruct (Wang et al. 2023): an `instruction` and its `instances`, each of which is an
 * example of its own.
 *
 * @module
 */

import { BadRow, objectsOf, optionalTextOf, textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";

/** See the module documentation. */
export const selfInstruct: Importer = {
  name: "self-instruct",
  summary: "`instruction` and `instances`, a list of `{input, output}`",
  columns: ["instruction", "instances"],
  template: "alpaca",
  samples(fields) {
    const instruction = textOf(fields, "instruction");
    const instances = objectsOf(fields, "instances");
    if (instances.length === 0) {
      throw new BadRow('the list "instances" is empty: there is nothing to learn');
    }
    return instances.map((instance) => ({
      kind: "instruction",
      instruction,
      input: optionalTextOf(instance, "input"),
      output: textOf(instance, "output"),
    }));
  },
};
