/**
 * Finds the folder of a run by what a person calls it.
 *
 * @module
 */

import { join, resolve } from "node:path";
import { fromCaller } from "./caller.ts";
import { ConfigurationError } from "./graph/experiment.ts";
import { readResults, type Results } from "./graph/results.ts";

/** A run on the disk. */
export interface FoundRun {
  /** Absolute path. */
  readonly folder: string;
  readonly results: Results;
}

/**
 * A finished run.
 *
 * @param target Folder of a run, or its name below `out`.
 * @param out Folder of results.
 * @throws {ConfigurationError} If there is no such run.
 * @throws {UserError} If its results cannot be read.
 */
export function findRun(target: string, out: string): FoundRun {
  const found = findRunOrNull(target, out);
  if (found !== null) return found;
  throw new ConfigurationError([{
    position: null,
    message: `There is no run "${target}" here or in ${out}: give the folder that holds its ` +
      `results.json, or run \`deno task experiment\` first`,
  }]);
}

/** As {@linkcode findRun}, but null if there is no such run. */
export function findRunOrNull(target: string, out: string): FoundRun | null {
  for (const folder of [fromCaller(target), resolve(out, target)]) {
    const results = readResults(join(folder, "results.json"));
    if (results !== null) return { folder, results };
  }
  return null;
}
