/**
 * Where the parts of an experiment were written.
 *
 * @module
 */

import type { Position } from "./experiment.ts";

/** Where a value or key was written. */
export interface Origin {
  /** Null for a value from the command line or from a script. */
  readonly position: Position | null;
  /** Absolute; a relative path written here is relative to it. */
  readonly folder: string;
  /** The command line option that wrote it ("--set seed=3"). */
  readonly option?: string;
}
