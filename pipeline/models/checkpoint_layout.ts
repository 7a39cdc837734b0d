/**
 * How another program stores the quantized layers of a model folder: one file for each such program.
 *
 * @module
 */

import type { HostWeight } from "../formats/host_weight.ts";
import type { LinearShape } from "./architecture.ts";
import type { ModuleFormat } from "./quantized_tensors.ts";

/** The quantized layers of an open folder. */
export interface CheckpointLayout {
  /** What they are: "GPTQ, INT4, groups of 128". */
  readonly description: string;
  /** What a person should know of them, to be logged. */
  readonly remarks: readonly string[];
  /** Format of the layer at `path` as this project holds it; null if it is not quantized. */
  format(path: string): ModuleFormat | null;
  /** Reads a layer whose format is not null. */
  read(linear: LinearShape): HostWeight;
}
