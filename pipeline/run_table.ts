/**
 * Finds the results that `deno task table` shows.
 *
 * @module
 */

import { join } from "node:path";
import { fromCaller } from "./caller.ts";
import { UserError } from "./errors.ts";
import { readExperiment } from "./experiment.ts";
import { readResults } from "./graph/results.ts";
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
  const here = fromCaller(target);
  for (const path of [here, join(here, "results.json"), join(out, target, "results.json")]) {
    if (!path.endsWith(".json")) continue;
    const results = readResults(path);
    if (results !== null) return tableOfResults(results, results.table);
  }
  const { name, table } = await readExperiment(target);
  const path = join(out, name, "results.json");
  const results = readResults(path);
  if (results === null) {
    throw new UserError(
      `There is no ${path}: run \`deno task experiment ${target}\` first`,
    );
  }
  return tableOfResults(results, table);
}
