/**
 * What `deno task serve` is asked to serve: a model folder, or a model of a finished run.
 *
 * @module
 */

import { basename, dirname, join } from "node:path";
import { type HostAdapter, readAdapter } from "./adapters/adapter.ts";
import { fromCaller } from "./caller.ts";
import { UserError } from "./errors.ts";
import { storeFolder } from "./experiment.ts";
import { findRunOrNull } from "./find_run.ts";
import { statOrNull } from "./formats/files.ts";
import { ConfigurationError } from "./graph/experiment.ts";
import type { CellResult, Results } from "./graph/results.ts";
import type { Artifact } from "./graph/stage.ts";
import { Store } from "./graph/store.ts";
import { didYouMean } from "./graph/suggestions.ts";
import { ModelFolder } from "./models/model_folder.ts";
import { cellOf, splitPlace } from "./run_place.ts";
import { openTrainedModel, type TrainedModel } from "./stages/trained_model.ts";

/** A model that is opened but not loaded. */
export interface ServedTarget {
  /** "balance:0/tuned", or the name of a folder. */
  readonly name: string;
  readonly trained: TrainedModel;
}

/**
 * Opens a model.
 *
 * @param target `FOLDER` of a model, or `RUN`, `RUN:NODE`, `RUN:CELL` or `RUN:CELL/NODE`, where `RUN`
 * is the folder or the name of a run. The default is the only cell, and its last model.
 * @param out Folder of results.
 * @param adapter Folder of an adapter for the model folder.
 * @throws {UserError | ConfigurationError} If there is no such model.
 */
export async function openTarget(
  target: string,
  out: string,
  adapter: string | null,
): Promise<ServedTarget> {
  const folder = fromCaller(target);
  if (statOrNull(join(folder, "config.json")) !== null) {
    const host = adapter === null ? null : readAdapter(fromCaller(adapter));
    return { name: basename(folder), trained: plainModel(folder, host) };
  }
  if (adapter !== null) {
    throw new UserError(
      `--adapter is for a model folder, but ${target} is none (it has no config.json); of a run, ` +
        `name the node that trained the adapter`,
    );
  }
  const [run, place] = splitTarget(target);
  const found = findRunOrNull(run, out);
  if (found === null) {
    throw new ConfigurationError([{
      position: null,
      message:
        `"${target}" is neither a model folder (there is no ${join(target, "config.json")}) ` +
        `nor a run here or in ${out}: give the folder of a model, or the name of a finished run`,
    }]);
  }
  const { folder: runFolder, results } = found;
  const named = splitPlace(place);
  const cell = cellOf(results, named);
  using store = await Store.open(storeFolder(dirname(runFolder)));
  const artifact = await findModel(store, results, cell, named.node);
  const trained = await openTrainedModel({ artifact: (key) => store.artifact(key) }, artifact);
  return { name: `${results.name}:${cell.index}/${artifact.node}`, trained };
}

/** A run and what follows the last colon; a folder's name may have colons of its own. */
function splitTarget(target: string): [string, string] {
  const colon = target.lastIndexOf(":");
  return colon <= 0 || statOrNull(fromCaller(target)) !== null
    ? [target, ""]
    : [target.slice(0, colon), target.slice(colon + 1)];
}

async function findModel(
  store: Store,
  { name, stages }: Results,
  cell: CellResult,
  node: string | null,
): Promise<Artifact> {
  const models: Artifact[] = [];
  for (const key of Object.values(cell.stages)) {
    const status = stages[key]?.status;
    if (status !== "done" && status !== "cached") continue;
    const artifact = await store.artifact(key);
    if (artifact.kind === "model" || artifact.kind === "adapter") models.push(artifact);
  }
  const ids = Object.entries(cell.stages)
    .filter(([, key]) => models.some((model) => model.key === key)).map(([id]) => id);
  const wanted = node ?? ids.at(-1);
  const found = models.find(({ key }) => wanted !== undefined && cell.stages[wanted] === key);
  if (found !== undefined) return { ...found, node: wanted ?? found.node };
  throw new UserError(
    ids.length === 0
      ? `Cell ${cell.index} of the run ${name} has no finished model; run the experiment first`
      : `Cell ${cell.index} of the run ${name} has no model "${node}"${
        didYouMean(node ?? "", ids)
      }; its models are ${ids.join(", ")}`,
  );
}

function plainModel(folder: string, adapter: HostAdapter | null): TrainedModel {
  const model = ModelFolder.open(folder);
  return { model, adapter, full: false, [Symbol.dispose]: () => model[Symbol.dispose]() };
}
