/**
 * What a base was before and how it was quantized, for initializers that fit adapters to the error of
 * quantization.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import type { StageContext } from "../graph/stage.ts";
import { ModelFolder } from "../models/model_folder.ts";
import { quantizerFor, type QuantizerParameters } from "../quantizers/registry.ts";
import type { Quantizer } from "../quantizers/quantizer.ts";
import type { QuantizeParameters } from "./quantize.ts";

/** A quantizer with its parameters. */
export interface ChosenQuantizer {
  /** What it does. */
  readonly method: Quantizer<QuantizerParameters>;
  /** How. */
  readonly parameters: QuantizerParameters;
}

/** The quantizer that made the input of a stage; null if none of a `quantize` stage made it. */
export function quantizerOfBase(
  upstream: readonly { readonly stage: string; readonly parameters: unknown }[],
): ChosenQuantizer | null {
  const [made] = upstream;
  if (made?.stage !== "quantize") return null;
  const { quantizer: parameters } = made.parameters as QuantizeParameters;
  if (parameters.method === "checkpoint") return null;
  return { method: quantizerFor(parameters), parameters };
}

/**
 * The model that the base of a stage was quantized from; the base itself, opened once more, if it is
 * not quantized. Its digest belongs to the key of the base, and so to that of the stage.
 *
 * @throws {UserError} If the base is quantized, but not by the stage that made it.
 */
export async function openOriginal(
  { input, upstream, resolve, artifact }: Pick<
    StageContext<unknown>,
    "input" | "upstream" | "resolve" | "artifact"
  >,
  base: ModelFolder,
): Promise<ModelFolder> {
  if (base.quantization === null) return ModelFolder.open(base.folder);
  const [made, before] = upstream;
  if (made?.stage === "quantize") {
    const { model, quantizer } = made.parameters as QuantizeParameters;
    if (quantizer.method === "checkpoint") {
      throw new UserError(
        `"${input?.node}" took its codes from a checkpoint, so its weights before they were ` +
          `quantized are not to be had; quantize the original here, or use init: zero or gaussian ` +
          `without calibration`,
      );
    }
    if (model !== undefined) {
      const [folder = ""] = await resolve({ reference: model, path: "model" });
      return ModelFolder.open(folder);
    }
    if (before !== undefined) return ModelFolder.open((await artifact(before.key)).folder);
  }
  throw new UserError(
    `The weights of "${input?.node}" before they were quantized are not to be had: the stage ` +
      `${
        made?.stage ?? "that made it"
      } made it from a quantized model; initialize from a quantize ` +
      `stage, or use init: zero`,
  );
}
