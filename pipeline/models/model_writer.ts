/**
 * Writing a model folder in the Hugging Face layout, tensor by tensor.
 *
 * @module
 */

import { join } from "node:path";
import { INDEX_FILE, SINGLE_FILE } from "../formats/hugging_face.ts";
import { SafetensorsWriter } from "../formats/safetensors.ts";
import { DTYPE_BYTES, elementCount } from "../formats/safetensors_header.ts";
import { plainTensors } from "./architecture.ts";
import type { ModelFolder } from "./model_folder.ts";
import type { NamedTensor, WeightDtype } from "./quantized_tensors.ts";

/** Files of a model folder that belong to its tokenizer and generation, copied as they are. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "tokenizer.model",
  "generation_config.json",
  "chat_template.jinja",
];

/** Widths of stored weights by their names in experiment files. */
export const WEIGHT_DTYPES = { f32: "F32", f16: "F16", bf16: "BF16" } as const;

/** What `torch_dtype` in `config.json` calls them. */
export const TORCH_DTYPES: Readonly<Record<WeightDtype, string>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** Bytes of tensors in a file, unless one alone is larger. */
const SHARD_BYTES = 512 * 2 ** 20;

/**
 * Collects tensors and writes them in shards of half a gigabyte, so that host memory holds one shard
 * or one tensor at most, whatever the model's size. A model that fits into one shard becomes
 * `model.safetensors`.
 */
export class ModelWriter {
  readonly #folder: string;
  readonly #shardBytes: number;
  readonly #shardOf = new Map<string, number>();
  readonly #shards: string[] = [];
  #pending: NamedTensor[] = [];
  #pendingBytes = 0;
  #totalBytes = 0;

  /** Prepares to write into an existing folder; nothing is written before the first shard is full. */
  constructor(folder: string, options: { readonly shardBytes?: number } = {}) {
    this.#folder = folder;
    this.#shardBytes = options.shardBytes ?? SHARD_BYTES;
  }

  /**
   * Adds a tensor; its values must not change afterwards.
   *
   * @throws {RangeError} If there is a tensor of its name already.
   * @throws {UserError} If the disk is full or cannot be written.
   */
  add(tensor: NamedTensor): void {
    const { name, dtype, shape } = tensor;
    if (this.#shardOf.has(name)) {
      throw new RangeError(`Cannot write ${this.#folder}: tensor "${name}" is declared twice`);
    }
    const bytes = elementCount(shape) * DTYPE_BYTES[dtype];
    if (this.#pending.length > 0 && this.#pendingBytes + bytes > this.#shardBytes) this.#flush();
    this.#shardOf.set(name, this.#shards.length);
    this.#pending.push(tensor);
    this.#pendingBytes += bytes;
    this.#totalBytes += bytes;
  }

  /** Writes the last shard, the index if there are several, `config.json` and the companions. */
  async finish(config: Readonly<Record<string, unknown>>, companionsFrom?: string): Promise<void> {
    if (this.#pending.length > 0 || this.#shards.length === 0) this.#flush();
    const names = this.#shards.map((_, index) =>
      this.#shards.length === 1
        ? SINGLE_FILE
        : `model-${digits(index + 1)}-of-${digits(this.#shards.length)}.safetensors`
    );
    for (const [index, shard] of this.#shards.entries()) {
      await Deno.rename(shard, join(this.#folder, names[index] ?? ""));
    }
    if (names.length > 1) {
      await this.#writeJson(INDEX_FILE, {
        metadata: { total_size: this.#totalBytes },
        weight_map: Object.fromEntries(
          [...this.#shardOf].map(([name, shard]) => [name, names[shard]]),
        ),
      });
    }
    await this.#writeJson("config.json", config);
    if (companionsFrom === undefined) return;
    for (const companion of COMPANIONS) {
      try {
        await Deno.copyFile(join(companionsFrom, companion), join(this.#folder, companion));
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  #flush(): void {
    const path = join(this.#folder, `shard-${this.#shards.length}.safetensors`);
    using writer = SafetensorsWriter.create(path, this.#pending);
    for (const { name, values } of this.#pending) writer.write(name, values);
    writer.finish();
    this.#shards.push(path);
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #writeJson(name: string, value: unknown): Promise<void> {
    return Deno.writeTextFile(join(this.#folder, name), JSON.stringify(value, null, 2) + "\n");
  }
}

/** Adds what no quantizer and no adapter touches (embedding, norms, biases, head), as wide as it was. */
export async function copyPlainTensors(source: ModelFolder, writer: ModelWriter): Promise<void> {
  for (const { name, shape } of plainTensors(source.config)) {
    writer.add({ name, shape, dtype: source.keptDtype(name), values: await source.floats(name) });
  }
}

function digits(number: number): string {
  return String(number).padStart(5, "0");
}
