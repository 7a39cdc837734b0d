/**
 * All protocols of perplexity that read rows. A new one is a file in this folder and a place in this
 * list.
 *
 * @module
 */

import { gptq } from "./gptq.ts";
import { lmEval } from "./lm_eval.ts";
import type { RowProtocol } from "./protocol.ts";
import { runClm } from "./run_clm.ts";

/** All protocols. */
export const ROW_PROTOCOLS: readonly RowProtocol[] = [gptq, lmEval, runClm];
