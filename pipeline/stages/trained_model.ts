/**
 * From an artifact to a model on a device: a model folder, or a base with the adapter that was placed
 * or trained on it.
 *
 * @module
 */

import { join } from "node:path";
import type { Device } from "../../kernels/device.ts";
import { type HostAdapter, readAdapter } from "../adapters/adapter.ts";
import { placeAdapter } from "../adapters/placement.ts";
import { readJsonOrNull, statOrNull } from "../formats/files.ts";
import type { Artifact, StageContext } from "../graph/stage.ts";
import { type LanguageModel, loadLanguageModel } from "../models/language_model.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { BASE_FOLDER } from "./own_base.ts";

/** Marks an adapter artifact of the form `full`: what trains is the base itself. */
export const FULL_FILE = "full.json";

/** Folder of the trained weights inside an artifact of the form `full`. */
export const FULL_FOLDER = "model";

/** What an artifact of kind `model` or `adapter` holds. */
export interface TrainedModel extends Disposable {
  /** The base, or the weights that full training left. */
  readonly model: ModelFolder;
  /** Null for a plain model and for the form `full`. */
  readonly adapter: HostAdapter | null;
  readonly full: boolean;
}

/**
 * Opens an artifact; no weights are read but the adapter's.
 *
 * @throws {UserError} If a file is missing or malformed.
 */
export async function openTrainedModel(
  context: Pick<StageContext<unknown>, "artifact">,
  artifact: Artifact,
): Promise<TrainedModel> {
  if (artifact.kind === "model") return opened(artifact.folder, null, false);
  const full = readJsonOrNull(join(artifact.folder, FULL_FILE));
  if (full !== null) {
    const trained = join(artifact.folder, FULL_FOLDER);
    const base = await context.artifact(String(full.base));
    return opened(statOrNull(trained) === null ? base.folder : trained, null, true);
  }
  const adapter = readAdapter(artifact.folder);
  const { base } = adapter.description;
  const holder = base === null ? artifact : await context.artifact(base);
  const folder = holder.kind === "adapter" ? join(holder.folder, BASE_FOLDER) : holder.folder;
  return opened(folder, adapter, false);
}

/** Loads a frozen model, with its adapter if it has one. */
export function loadFrozen(device: Device, trained: TrainedModel): Promise<LanguageModel> {
  const { model, adapter } = trained;
  return adapter === null
    ? loadLanguageModel(device, model)
    : loadLanguageModel(device, model, undefined, placeAdapter(device, adapter));
}

function opened(
  folder: string,
  adapter: HostAdapter | null,
  full: boolean,
): TrainedModel {
  const model = ModelFolder.open(folder);
  return { model, adapter, full, [Symbol.dispose]: () => model[Symbol.dispose]() };
}
