/**
 * All stages. A new one is a file in this folder and a place in this list.
 *
 * @module
 */

import type { Stage } from "../graph/stage.ts";
import { evaluate } from "./evaluate.ts";
import { initialize } from "./initialize.ts";
import { merge } from "./merge.ts";
import { pretrain } from "./pretrain.ts";
import { quantize } from "./quantize.ts";
import { train } from "./train.ts";

/** All stages, in the order in which an experiment usually runs them. */
export const stages: readonly Stage[] = [
  pretrain,
  quantize,
  initialize,
  train,
  merge,
  evaluate,
] as unknown as readonly Stage[]; // a stage only meets parameters that its own schema parsed
