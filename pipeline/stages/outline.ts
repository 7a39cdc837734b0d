/**
 * What a model or adapter artifact will be, before it exists: what decides the memory of every stage
 * that reads it.
 *
 * @module
 */

import { join } from "node:path";
import type { CountingDevice } from "../../kernels/counting/device.ts";
import type { Ledger } from "../../kernels/counting/ledger.ts";
import { adapterParameters } from "../adapters/plan.ts";
import { type AdapterOutline, placeOutline } from "../adapters/placement.ts";
import { readJson, statOrNull } from "../formats/files.ts";
import { INDEX_FILE, SINGLE_FILE } from "../formats/hugging_face.ts";
import { modelLinears } from "../models/architecture.ts";
import { parseConfig } from "../models/config.ts";
import { deviceFormat } from "../models/device_format.ts";
import {
  allocateLanguageModel,
  type LanguageModel,
  type ModelOutline,
} from "../models/language_model.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { formatBytes } from "../models/quantized_tensors.ts";

/** An adapter without its values. */
export interface PlannedAdapter extends AdapterOutline {
  readonly description: { readonly form: string };
}

/** An artifact of kind `model` or `adapter` without its values; a `TrainedModel` is one too. */
export interface ArtifactOutline {
  /** The base, or the weights that full training leaves. */
  readonly model: ModelOutline;
  /** Null for a plain model and for the form `full`. */
  readonly adapter: PlannedAdapter | null;
  /** Whether the weights themselves train. */
  readonly full: boolean;
  /** Longest row of the text that travels with a trained adapter; 0 if it was not trained. */
  readonly probeLength: number;
}

/** The outline of a stage's input, which the graph passes on without knowing its type. */
export function inputOutline(input: unknown): ArtifactOutline {
  if (input === null) throw new RangeError("The stage reads a model, but none was planned");
  return input as ArtifactOutline;
}

/** A plain model. */
export function plainOutline(model: ModelOutline): ArtifactOutline {
  return { model, adapter: null, full: false, probeLength: 0 };
}

/** A model folder: from the headers of its weights, or, where they are missing, from `config.json`. */
export function readOutline(folder: string): ModelOutline {
  const weights = [SINGLE_FILE, INDEX_FILE].some((name) => statOrNull(join(folder, name)) !== null);
  if (weights) {
    using model = ModelFolder.open(folder);
    return model;
  }
  const file = join(folder, "config.json");
  return { config: parseConfig(readJson(file, "a model folder"), file), moduleFormat: () => null };
}

/** The allocations of `loadFrozen`. */
export function rehearseFrozen(
  device: CountingDevice,
  { model, adapter }: ArtifactOutline,
): LanguageModel {
  takeConversion(device.ledger, model);
  return adapter === null
    ? allocateLanguageModel(device, model)
    : allocateLanguageModel(device, model, undefined, placeOutline(adapter));
}

/**
 * What the host holds of the largest layer on its way to a device that has it in another format than
 * its file: the layer, its codes in bytes, and the layer as it will be. All others pass in pieces.
 */
export function takeConversion(ledger: Ledger, model: ModelOutline): void {
  const bytes = modelLinears(model.config).map(({ path, rows, columns }) => {
    const format = model.moduleFormat(path);
    const onDevice = deviceFormat(format);
    if (onDevice === format) return 0;
    return formatBytes(format, rows, columns) + rows * columns +
      formatBytes(onDevice, rows, columns);
  });
  const most = Math.max(...bytes);
  if (most > 0) ledger.take("host", "a layer in the format of the device", most).drop();
}

/** What the matrices of an adapter take on the host. */
export function adapterBytes({ modules }: AdapterOutline): number {
  return [...modules.values()].reduce((sum, { shape }) => sum + 4 * adapterParameters(shape), 0);
}
