/**
 * Instructions of LLM-Adapters (Hu et al. 2023): Alpaca's columns and the bare `answer`, which only
 * evaluation reads.
 *
 * @module
 */

import { alpaca } from "./alpaca.ts";
import type { Importer } from "./importer.ts";

/** See the module documentation. */
export const llmAdapters: Importer = {
  name: "llm-adapters",
  summary: "`instruction`, `input`, `output`, learned, and `answer`, not learned",
  columns: ["instruction", "input", "output", "answer"],
  template: "llm-adapters",
  samples: alpaca.samples,
};
