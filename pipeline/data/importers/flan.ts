/**
 * Flan v2 (Longpre et al. 2023), as its exports name the columns.
 *
 * @module
 */

import { textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";

/** See the module documentation. */
export const flan: Importer = {
  name: "flan",
  summary: "`inputs`, read, and `targets`, learned",
  columns: ["inputs", "targets"],
  samples: (fields) => [{
    kind: "completion",
    prompt: textOf(fields, "inputs"),
    completion: textOf(fields, "targets"),
  }],
};
