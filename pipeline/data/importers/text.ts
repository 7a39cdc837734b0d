/**
 * Rows with a `text` (TRL's language modeling): learned whole.
 *
 * @module
 */

import { textOf } from "./bad_row.ts";
import type { Importer } from "./importer.ts";

/** See the module documentation. */
export const text: Importer = {
  name: "text",
  summary: "`text`, learned whole",
  columns: ["text"],
  samples: (fields) => [{ kind: "text", text: textOf(fields, "text") }],
};
