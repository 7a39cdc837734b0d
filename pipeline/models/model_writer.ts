/**
 * Writing a model folder in the Hugging Face layout, tensor by tensor.
 *
 * @module
 */

import { join } from "node:path";
import { SafetensorsWriter } from "../formats/safetensors.ts";
import type { NamedTensor } from "./quantized_tensors.ts";

/** Files of a model folder that belong to its tokenizer and generation, copied as they are. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "tokenizer.model",
  "generation_config.json",
  "chat_template.jinja",
];

/** Bytes of tensors collected before a shard is written. */
const SHARD_BYTES = 512 * 2 ** 20;

/**
 * Collects tensors and writes them in shards of about half a gigabyte, so that host memory holds one
 * shard or one tensor at most, whatever the model's size.
 */
export class ModelWriter {
  readonly #folder: string;
  readonly #shardOf: Record<string, number> = {};
  readonly #shards: string[] = [];
  #pending: NamedTensor[] = [];
  #pendingBytes = 0;
  #totalBytes = 0;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** Adds a tensor; its values must not change afterwards. */
  add(tensor: NamedTensor): void {
    this.#pending.push(tensor);
    this.#pendingBytes += tensor.values.byteLength;
    if (this.#pendingBytes >= SHARD_BYTES) this.#flush();
  }

  /** Writes the last shard, the index if there are several, `config.json` and the companions. */
  async finish(config: Readonly<Record<string, unknown>>, companionsFrom?: string): Promise<void> {
    if (this.#pending.length > 0 || this.#shards.length === 0) this.#flush();
    const names = this.#shards.map((_, index) =>
      this.#shards.length === 1
        ? "model.safetensors"
        : `model-${digits(index + 1)}-of-${digits(this.#shards.length)}.safetensors`
    );
    for (const [index, shard] of this.#shards.entries()) {
      await Deno.rename(shard, join(this.#folder, names[index] ?? ""));
    }
    if (names.length > 1) {
      await this.#writeJson("model.safetensors.index.json", {
        metadata: { total_size: this.#totalBytes },
        weight_map: Object.fromEntries(
          Object.entries(this.#shardOf).map(([name, shard]) => [name, names[shard]]),
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
    for (const { name, values } of this.#pending) {
      this.#shardOf[name] = this.#shards.length;
      writer.write(name, values);
    }
    writer.finish();
    this.#shards.push(path);
    this.#totalBytes += this.#pendingBytes;
    this.#pending = [];
    this.#pendingBytes = 0;
  }

  #writeJson(name: string, value: unknown): Promise<void> {
    return Deno.writeTextFile(join(this.#folder, name), JSON.stringify(value, null, 2) + "\n");
  }
}

function digits(number: number): string {
  return String(number).padStart(5, "0");
}
