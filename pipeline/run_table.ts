/**
 * Finds the results that `deno task table` shows.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "./errors.ts";
import { readExperiment } from "./experiment.ts";
import { parseResults, type Results } from "./graph/results.ts";
import { type Table, tableOfResults } from "./reports/table.ts";

/**
 * The table of a run.
 *
 * @param target Folder of a run, its `results.json`, its name below `out`, or the experiment file;
 * given the file, the table is arranged as the file says now.
 * @param out Folder of results.
 * @throws {UserError} If there are no results, or they do not fit into the table.
 */
export async function tableOf(target: string, out: string): Promise<Table> {
  for (const path of [target, join(target, "results.json"), join(out, target, "results.json")]) {
    if (!path.endsWith(".json")) continue;
    const results = await readResults(path);
    if (results !== null) return tableOfResults(results, results.table);
  }
  const { name, table } = await readExperiment(target);
  const path = join(out, name, "results.json");
  const results = await readResults(path);
  if (results === null) {
    throw new UserError(
      `There is no ${path}: run \`deno task experiment ${target}\` first`,
    );
  }
  return tableOfResults(results, table);
}

async function readResults(path: string): Promise<Results | null> {
  try {
    return parseResults(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return null;
    }
    if (error instanceof SyntaxError) throw new UserError(`${path}: ${error.message}`);
    throw error;
  }
}
