/**
 * Finds what `deno task compare` compares.
 *
 * @module
 */

import { dirname } from "node:path";
import { UserError } from "./errors.ts";
import { storeFolder } from "./experiment.ts";
import { findRun } from "./find_run.ts";
import type { CellResult, Results } from "./graph/results.ts";
import { Store } from "./graph/store.ts";
import { didYouMean } from "./graph/suggestions.ts";
import { type ComparedModel, compareModels, type Comparison } from "./reports/comparison.ts";
import { cellOf, splitPlace } from "./run_place.ts";

/**
 * Compares two evaluated models of a run.
 *
 * @param run Folder of a run, or its name below `out`.
 * @param names `NODE` or `CELL/NODE` of the models.
 * @param out Folder of results.
 * @throws {UserError | ConfigurationError} If there is no such model, or they share no items.
 */
export async function compareInRun(
  run: string,
  names: readonly [string, string],
  out: string,
): Promise<Comparison> {
  const { folder, results } = findRun(run, out);
  using store = await Store.open(storeFolder(dirname(folder)));
  return compareModels(
    await comparedModel(results, store, names[0]),
    await comparedModel(results, store, names[1]),
  );
}

async function comparedModel(
  results: Results,
  store: Store,
  name: string,
): Promise<ComparedModel> {
  const place = splitPlace(name);
  const cell = cellOf(results, place);
  const evaluated = evaluatedModels(results, cell);
  const [only, ...others] = evaluated.keys();
  const model = place.node ?? (others.length === 0 ? only : undefined);
  const keys = model === undefined ? undefined : evaluated.get(model);
  if (model === undefined || keys === undefined) {
    const known = [...evaluated.keys()];
    throw new UserError(
      known.length === 0
        ? `Cell ${cell.index} of the run ${results.name} has no finished evaluation`
        : `Cell ${cell.index} of the run ${results.name} has no evaluation of "${name}"${
          didYouMean(place.node ?? "", known)
        }; evaluated are ${known.join(", ")}`,
    );
  }
  const folders: string[] = [];
  for (const key of keys) folders.push((await store.artifact(key)).folder);
  return { name: `${results.name}:${cell.index}/${model}`, folders };
}

/** Keys of the finished evaluations of each model of a cell. */
function evaluatedModels({ stages }: Results, cell: CellResult): Map<string, string[]> {
  const models = new Map<string, string[]>();
  for (const [id, key] of Object.entries(cell.stages)) {
    const { stage, result } = stages[key] ?? {};
    if (stage !== "evaluate" || !result) continue;
    const model = id.slice(id.indexOf(".") + 1);
    models.set(model, [...models.get(model) ?? [], key]);
  }
  return models;
}
