/**
 * A model folder in the Hugging Face layout, read tensor by tensor. Folders that this project
 * quantized have the same layout, with `quant_method: equipoise` in `config.json`.
 *
 * @module
 */

import { join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJson } from "../formats/files.ts";
import { openTensors, type TensorSource } from "../formats/hugging_face.ts";
import type { HostWeight } from "../formats/host_weight.ts";
import type { Piece } from "../formats/safetensors.ts";
import { EMBEDDING, HEAD, type LinearShape, modelLinears, plainTensors } from "./architecture.ts";
import { type ModelConfig, parseConfig } from "./config.ts";
import type { ModelSource } from "./language_model.ts";
import { type ModuleFormat, type WeightDtype, weightOutlines } from "./quantized_tensors.ts";
import { expectShape, readWeight } from "./weight_reader.ts";

const integerBlocks = {
  bits: z.union([z.literal(1), z.literal(2), z.literal(3), z.literal(4), z.literal(8)]),
  block_rows: z.int().positive(),
  group_size: z.int().positive(),
};

/** `quantization_config` of a folder that this project wrote. */
const quantizationSchema = z.object({
  quant_method: z.literal("equipoise"),
  modules: z.record(
    z.string(),
    z.discriminatedUnion("format", [
      z.object({ format: z.literal("integer"), ...integerBlocks }),
      z.object({ format: z.literal("ordered"), ...integerBlocks }),
      z.object({ format: z.literal("nf4"), double_quantization: z.boolean() }),
      z.object({
        format: z.literal("mixed"),
        bits: z.union([z.literal(2), z.literal(3), z.literal(4)]),
        group_size: z.int().positive().multipleOf(8),
      }),
      z.object({
        format: z.literal("binary"),
        group_size: z.int().positive(),
        means: z.boolean(),
      }),
    ]),
  ),
  /** Set by a merge: a merged model does not take the same adapter twice. */
  merged: z.string().optional(),
});

/** What `quantization_config` says. */
export type QuantizationConfig = z.output<typeof quantizationSchema>;

/** An open model folder. */
export class ModelFolder implements ModelSource, Disposable {
  readonly folder: string;
  readonly config: ModelConfig;
  /** `config.json` as it stands, for folders derived from this one. */
  readonly json: Readonly<Record<string, unknown>>;
  /** Null for an unquantized model. */
  readonly quantization: QuantizationConfig | null;
  readonly tensors: TensorSource;
  /** Of every tensor that the configuration implies, by name. */
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  private constructor(
    folder: string,
    json: Readonly<Record<string, unknown>>,
    tensors: TensorSource,
    quantization: typeof parseQuantization,
  ) {
    const file = join(folder, "config.json");
    this.folder = folder;
    this.json = json;
    this.tensors = tensors;
    this.config = headless(parseConfig(json, file), json, tensors);
    this.quantization = quantization(json.quantization_config, file, tensors);
    this.#shapes = new Map([
      ...plainTensors(this.config),
      ...modelLinears(this.config)
        .flatMap((linear) => weightOutlines(linear, this.moduleFormat(linear.path))),
    ].map(({ name, shape }) => [name, shape]));
  }

  /**
   * Opens a folder: reads `config.json` and the headers of its safetensors, no weights.
   *
   * @throws {UserError} If something is missing, malformed, or does not fit together.
   */
  static open(folder: string): ModelFolder {
    return ModelFolder.#open(folder, parseQuantization);
  }

  /**
   * Opens a folder whose linear layers another program may have quantized, for the tensors that are
   * not theirs. No format is known of the layers: `checkpoint_folder.ts` reads them.
   *
   * @throws {UserError} As {@linkcode ModelFolder.open}.
   */
  static openPlain(folder: string): ModelFolder {
    return ModelFolder.#open(folder, () => null);
  }

  static #open(
    folder: string,
    quantization: typeof parseQuantization,
  ): ModelFolder {
    const json = readJson(join(folder, "config.json"), "a model folder");
    const tensors = openTensors(folder);
    try {
      return new ModelFolder(folder, json, tensors, quantization);
    } catch (error) {
      tensors.close();
      throw error;
    }
  }

  weight(linear: LinearShape): Promise<HostWeight> {
    return Promise.resolve(readWeight(this.tensors, linear, this.moduleFormat(linear.path)));
  }

  /** Fills `values` with a dense weight, for callers that use memory again. */
  readWeight({ path, rows, columns }: LinearShape, values: Float32Array): void {
    const name = `${path}.weight`;
    expectShape(this.tensors, name, [rows, columns]);
    this.tensors.readInto(name, values);
  }

  floats(name: string): Promise<Float32Array> {
    const stored = this.storedName(name);
    const shape = this.#shapes.get(name);
    if (shape !== undefined) expectShape(this.tensors, stored, shape);
    return Promise.resolve(this.tensors.readFloats(stored));
  }

  pieces(name: string): Iterable<Piece> {
    const stored = this.storedName(name);
    const shape = this.#shapes.get(name);
    if (shape !== undefined) expectShape(this.tensors, stored, shape);
    return this.tensors.pieces(stored);
  }

  /** The name under which a tensor is stored: tied models may keep only one of embedding and head. */
  storedName(name: string): string {
    if (!this.config.tied || this.tensors.has(name)) return name;
    if (name === EMBEDDING && this.tensors.has(HEAD)) return HEAD;
    return name;
  }

  /** Width in which a folder derived from this one keeps a tensor: its own, or f32 where kernels need it. */
  keptDtype(name: string): WeightDtype {
    const dtype = this.tensors.dtype(this.storedName(name));
    return dtype === "F16" || dtype === "BF16" ? dtype : "F32";
  }

  /** Format of the linear layer at `path`; null if it is dense. */
  moduleFormat(path: string): ModuleFormat | null {
    return this.quantization?.modules[path] ?? null;
  }

  [Symbol.dispose](): void {
    this.tensors.close();
  }
}

/** Models without a head of their own are tied where `config.json` does not say. */
function headless(
  config: ModelConfig,
  json: Readonly<Record<string, unknown>>,
  tensors: TensorSource,
): ModelConfig {
  if (tensors.has(HEAD) || config.tied || json["tie_word_embeddings"] === false) return config;
  return { ...config, tied: true };
}

function parseQuantization(
  value: unknown,
  file: string,
  tensors: TensorSource,
): QuantizationConfig | null {
  if (value === undefined || value === null) {
    const codes = tensors.names.find((name) => name.endsWith(".qweight"));
    if (codes === undefined) return null;
    refuseForeign(`${tensors.folder}: tensor "${codes}" holds codes of another program`);
  }
  const method = (value as { quant_method?: unknown }).quant_method;
  if (method !== "equipoise") {
    refuseForeign(`${file}: quantization_config.quant_method is ${JSON.stringify(method)}`);
  }
  const result = quantizationSchema.safeParse(value);
  if (!result.success) {
    throw new UserError(
      `${file}: quantization_config is malformed: ${z.prettifyError(result.error)}`,
    );
  }
  return result.data;
}

function refuseForeign(found: string): never {
  throw new UserError(
    `${found}; give the unquantized model, or take these codes as they are with a quantize stage ` +
      "that says `quantizer: { method: checkpoint }`",
  );
}
