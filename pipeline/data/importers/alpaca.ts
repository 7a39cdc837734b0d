/**
 * Alpaca's instructions (Taori et al. 2023).
 *
 * @module
 */

import { optionalTextOf, textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";

/** See the module documentation. */
export const alpaca: Importer = {
  name: "alpaca",
  summary: "`instruction`, `input` (may be empty or missing) and `output`, learned",
  columns: ["instruction", "output"],
  template: "alpaca",
  samples: (fields) => [{
    kind: "instruction",
    instruction: textOf(fields, "instruction"),
    input: optionalTextOf(fields, "input"),
    output: textOf(fields, "output"),
  }],
};
