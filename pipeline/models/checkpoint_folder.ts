/**
 * A model folder whose linear layers are quantized already, by whatever program: their codes, as they
 * are.
 *
 * @module
 */

import { join } from "node:path";
import { UserError } from "../errors.ts";
import { readJson, readJsonOrNull } from "../formats/files.ts";
import { GPTQ_CONFIG_FILE, parseGptqConfig } from "../formats/gptq_config.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import { type LinearShape, modelLinears } from "./architecture.ts";
import { bitsandbytesLayout } from "./bitsandbytes_checkpoint.ts";
import type { CheckpointLayout } from "./checkpoint_layout.ts";
import type { ModelConfig } from "./config.ts";
import { gptqLayout } from "./gptq_checkpoint.ts";
import { ModelFolder, type QuantizationConfig } from "./model_folder.ts";
import type { ModuleFormat } from "./quantized_tensors.ts";

/** What a folder says of its quantization. */
interface Quantization {
  readonly method: unknown;
  readonly json: unknown;
  /** Where it says so. */
  readonly file: string;
}

/** An open folder. */
export class CheckpointFolder implements Disposable {
  /** What is not quantized: configuration, embedding, norms, biases, head. */
  readonly model: ModelFolder;
  readonly #layout: CheckpointLayout | null;

  private constructor(model: ModelFolder, layout: CheckpointLayout | null) {
    this.model = model;
    this.#layout = layout;
  }

  /**
   * Opens a folder: reads configurations, the headers of its safetensors and the small tensors that
   * decide the formats of layers.
   *
   * @throws {UserError} If the model is not quantized, or by a program or in a way that this version
   * does not read, or something is missing, malformed, or does not fit together.
   */
  static open(folder: string): CheckpointFolder {
    const found = quantizationOf(folder);
    if (found === null) {
      throw new UserError(
        `${folder} is not quantized (config.json has no quantization_config), so there are no codes ` +
          `to take; quantize it with another method, such as rtn, gptq or nf4`,
      );
    }
    if (found.method === "equipoise") return new CheckpointFolder(ModelFolder.open(folder), null);
    const model = ModelFolder.openPlain(folder);
    try {
      return new CheckpointFolder(model, layoutOf(model, found));
    } catch (error) {
      model[Symbol.dispose]();
      throw error;
    }
  }

  /** Of the model. */
  get config(): ModelConfig {
    return this.model.config;
  }

  /** What the layers are, in words. */
  get description(): string {
    return this.#layout?.description ?? "codes of a folder that this program quantized";
  }

  /** What a person should know of them. */
  get remarks(): readonly string[] {
    return this.#layout?.remarks ?? [];
  }

  /** Whether the adapter of some stage is merged into the weights. */
  get merged(): Pick<QuantizationConfig, "merged"> {
    const merged = this.model.quantization?.merged;
    return merged === undefined ? {} : { merged };
  }

  /** Format of the linear layer at `path`; null if it is not quantized. */
  moduleFormat(path: string): ModuleFormat | null {
    return this.#layout === null ? this.model.moduleFormat(path) : this.#layout.format(path);
  }

  /** Reads one linear layer. */
  weight(linear: LinearShape): Promise<HostWeight> {
    return this.#layout === null || this.#layout.format(linear.path) === null
      ? this.model.weight(linear)
      : Promise.resolve(this.#layout.read(linear));
  }

  [Symbol.dispose](): void {
    this.model[Symbol.dispose]();
  }
}

/** What `config.json` says, or a `quantize_config.json`, as older GPTQ checkpoints have. */
function quantizationOf(folder: string): Quantization | null {
  const file = join(folder, "config.json");
  const json = readJson(file, "a model folder")["quantization_config"];
  if (typeof json === "object" && json !== null) {
    const { quant_method, method } = json as { quant_method?: unknown; method?: unknown };
    // GPTQModel writes both.
    return { method: quant_method ?? method, json, file };
  }
  const gptqFile = join(folder, GPTQ_CONFIG_FILE);
  const gptq = readJsonOrNull(gptqFile);
  if (gptq === null) return null;
  return { method: gptq.quant_method ?? "gptq", json: gptq, file: gptqFile };
}

function layoutOf(model: ModelFolder, { method, json, file }: Quantization): CheckpointLayout {
  const linears = modelLinears(model.config);
  switch (method) {
    case "gptq":
      return gptqLayout(model.tensors, parseGptqConfig(json, file), linears);
    case "bitsandbytes":
      return bitsandbytesLayout(model.tensors, json, file, linears);
    default:
      throw new UserError(
        `${file}: quant_method is ${
          JSON.stringify(method)
        }, and this version reads checkpoints of ` +
          `gptq and bitsandbytes; give the unquantized model and quantize it here`,
      );
  }
}
