/**
 * Finds what `deno task report` shows, and writes the page.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { UserError } from "./errors.ts";
import { storeFolder } from "./experiment.ts";
import { findRun } from "./find_run.ts";
import { readJson, statOrNull } from "./formats/files.ts";
import type { Results } from "./graph/results.ts";
import { Store } from "./graph/store.ts";
import { replaceTextFile } from "./graph/store_files.ts";
import { htmlReport } from "./reports/html_report.ts";
import type { PlanRecord } from "./reports/plan_text.ts";
import { trainingHistories, type TrainingHistory } from "./reports/training_history.ts";

/**
 * Writes `report.html` into the folder of a run; returns its path.
 *
 * @param target Folder of a run, or its name below `out`.
 * @param out Folder of results.
 * @throws {ConfigurationError} If there is no such run.
 * @throws {UserError} If its results cannot be read.
 */
export async function writeReport(target: string, out: string): Promise<string> {
  const { folder, results } = findRun(target, out);
  const page = await htmlReport({
    results,
    plan: readPlan(join(folder, "plan.json")),
    yaml: await Deno.readTextFile(join(folder, "experiment.yaml")),
    histories: await readHistories(results, storeFolder(dirname(folder))),
  });
  const path = join(folder, "report.html");
  await replaceTextFile(path, page);
  return path;
}

function readPlan(path: string): readonly PlanRecord[] {
  return readJson(path, "a report").stages as PlanRecord[];
}

/** The page does without curves if the run was moved away from its store. */
async function readHistories(
  results: Results,
  folder: string,
): Promise<readonly TrainingHistory[] | string> {
  if (statOrNull(join(folder, "index.sqlite")) === null) return `there is no store in ${folder}.`;
  try {
    using store = await Store.open(folder);
    return await trainingHistories(results, store);
  } catch (error) {
    if (error instanceof UserError) return `${error.message}.`;
    throw error;
  }
}
