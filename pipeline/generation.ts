/**
 * Generates texts with a model folder: for scripts.
 *
 * @module
 */

import { readAdapter } from "./adapters/adapter.ts";
import { placeAdapter } from "./adapters/placement.ts";
import { Tokenizer } from "./data/tokenizer.ts";
import {
  endTokens,
  generateTextPieces,
  type TextGenerationOptions,
  type TextPiece,
} from "./evaluation/text_generation.ts";
import { type DeviceName, openDevice } from "./executors/devices.ts";
import { fromCaller } from "./caller.ts";
import { loadLanguageModel } from "./models/language_model.ts";
import { ModelFolder } from "./models/model_folder.ts";

/** How to generate. */
export interface GenerateOptions extends Omit<TextGenerationOptions, "maxNewTokens"> {
  /**
   * Tokens of a continuation at most.
   *
   * @default 128
   */
  readonly maxNewTokens?: number;
  /** Folder of an adapter for the model, which stays unmerged. */
  readonly adapter?: string;
  /**
   * What computes.
   *
   * @default "auto"
   */
  readonly device?: DeviceName;
}

/**
 * Continues texts with a model in a folder of the Hugging Face layout, as it was downloaded or as a
 * stage left it, and yields what is new as it comes. Without `stopTokens`, a continuation ends where
 * the model's files say that texts end.
 *
 * ```ts ignore
 * import { generateText } from "./mod.ts";
 *
 * for await (const { text } of generateText("models/tiny", ["Once upon a time"])) {
 *   Deno.stdout.writeSync(new TextEncoder().encode(text));
 * }
 * ```
 *
 * @throws {UserError} If a folder is not what it should be, a prompt is too long for the model, or
 * the model computes NaN.
 * @throws {DeviceError} If the device is missing, or runs out of memory.
 */
export async function* generateText(
  model: string,
  prompts: readonly string[],
  { adapter, device: name = "auto", maxNewTokens = 128, ...options }: GenerateOptions = {},
): AsyncGenerator<TextPiece> {
  using folder = ModelFolder.open(fromCaller(model));
  const tokenizer = Tokenizer.open(folder.folder, folder.config.vocabSize);
  const host = adapter === undefined ? null : readAdapter(fromCaller(adapter));
  const device = await openDevice(name);
  try {
    const placement = host === null ? undefined : placeAdapter(device, host);
    const loaded = await loadLanguageModel(device, folder, undefined, placement);
    yield* generateTextPieces(loaded, tokenizer, prompts, {
      stopTokens: endTokens(folder.folder, tokenizer),
      maxNewTokens,
      ...options,
    });
  } finally {
    device.close();
  }
}
