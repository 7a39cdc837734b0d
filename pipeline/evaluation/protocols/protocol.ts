/**
 * What a protocol of perplexity is: which tokens of a dataset are scored, with how much context, and
 * what number is made of their losses.
 *
 * @module
 */

import type { Example } from "../../data/dataset.ts";
import type { ResolveReference } from "../../data/text.ts";
import type { Tokenizer } from "../../data/tokenizer.ts";
import type { Metric } from "../../graph/stage.ts";
import type { RowData } from "./row_data.ts";

/** Texts that the papers of GPTQ's line make of a dataset, by the names of its released code. */
export const SELECTIONS = ["wikitext2", "ptb", "ptb_new", "c4", "c4_new"] as const;

/** One of {@linkcode SELECTIONS}. */
export type Selection = typeof SELECTIONS[number];

/** What a protocol is applied to. */
export interface ProtocolInput {
  /** The dataset. */
  readonly data: RowData;
  /** That of the model. */
  readonly tokenizer: Tokenizer;
  /** Tokens that the model reads at once. */
  readonly window: number;
  /** Only `gptq` reads it. */
  readonly selection: Selection;
  /** Only `lm_eval` reads it. */
  readonly addBosToken: boolean;
  /** Finds files. */
  readonly resolve: ResolveReference;
}

/** What is to be scored, and what it gives. */
export interface ScoringPlan {
  /** Rows of at most one token more than the window: the last one is only a target. */
  readonly rows: readonly Example[];
  /** The name that results carry: "gptq-2048". */
  readonly name: string;
  /** Rows of the dataset that could not be used. */
  readonly skipped: number;
  /**
   * The metrics, from the losses (`-log p`, natural logarithm) of the targets of each row, in order.
   * The main one is called "perplexity".
   */
  measure(losses: readonly (readonly number[])[]): Readonly<Record<string, Metric>>;
}

/** One protocol. */
export interface RowProtocol {
  /** The value of `protocol:` in the experiment file. */
  readonly name: string;
  /** One line for the documentation. */
  readonly summary: string;
  /** Tokens of a window, unless the parameters say otherwise; null for all that the model reads. */
  readonly window: number | null;
  /** Reads and cuts the dataset. Throws UserError if it cannot be read, or has nothing to score. */
  plan(input: ProtocolInput): Promise<ScoringPlan>;
}
