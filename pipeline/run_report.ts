/**
 * Finds what `deno task report` shows, and writes the page.
 *
 * @module
 */

import { dirname, join, resolve } from "node:path";
import { UserError } from "./errors.ts";
import { storeFolder } from "./experiment.ts";
import { ConfigurationError } from "./graph/experiment.ts";
import { parseResults, type Results } from "./graph/results.ts";
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
  const folder = await findRun(target, out);
  const results = await readResults(join(folder, "results.json"));
  const page = await htmlReport({
    results,
    plan: await readPlan(join(folder, "plan.json")),
    yaml: await Deno.readTextFile(join(folder, "experiment.yaml")),
    histories: await readHistories(results, storeFolder(dirname(folder))),
  });
  const path = join(folder, "report.html");
  await replaceTextFile(path, page);
  return path;
}

async function findRun(target: string, out: string): Promise<string> {
  for (const candidate of [resolve(target), resolve(out, target)]) {
    if (await isFile(join(candidate, "results.json"))) return candidate;
  }
  throw new ConfigurationError([{
    position: null,
    message: `There is no run "${target}" here or in ${out}: give the folder that holds its ` +
      `results.json, or run \`deno task experiment\` first`,
  }]);
}

async function readResults(path: string): Promise<Results> {
  try {
    return parseResults(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof SyntaxError) throw new UserError(`${path}: ${error.message}`);
    throw error;
  }
}

async function readPlan(path: string): Promise<readonly PlanRecord[]> {
  const { stages } = JSON.parse(await Deno.readTextFile(path)) as { stages: PlanRecord[] };
  return stages;
}

/** The page does without curves if the run was moved away from its store. */
async function readHistories(
  results: Results,
  folder: string,
): Promise<readonly TrainingHistory[] | string> {
  if (!await isFile(join(folder, "index.sqlite"))) return `there is no store in ${folder}.`;
  try {
    using store = await Store.open(folder);
    return await trainingHistories(results, store);
  } catch (error) {
    if (error instanceof UserError) return `${error.message}.`;
    throw error;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
      return false;
    }
    throw error;
  }
}
