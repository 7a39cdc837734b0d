/**
 * Writing a model folder in the Hugging Face layout, tensor by tensor.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { statOrNull } from "../formats/files.ts";
import { INDEX_FILE, SINGLE_FILE, type TensorSource } from "../formats/hugging_face.ts";
import { SafetensorsWriter, type TensorValues } from "../formats/safetensors.ts";
import { DTYPE_BYTES, elementCount } from "../formats/safetensors_header.ts";
import { plainTensors } from "./architecture.ts";
import type { ModelFolder } from "./model_folder.ts";
import type { TensorOutline, WeightDtype } from "./quantized_tensors.ts";
import type { TensorPart } from "./tensor_parts.ts";

/** Files of a model folder that belong to its tokenizer and generation, copied as they are. */
const COMPANIONS = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "tokenizer.model",
  "original/tokenizer.model",
  "vocab.json",
  "merges.txt",
  "encoder.json",
  "vocab.bpe",
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

/** Bytes of tensors in a file, unless one alone is larger; what Hugging Face's tools write, too. */
const SHARD_BYTES = 5e9;

/** A file of the folder: its tensors, and the writer while not all of them are written. */
interface Shard {
  readonly file: string;
  readonly tensors: TensorOutline[];
  writer: SafetensorsWriter | null;
  missing: number;
}

/**
 * Writes tensors as they come, in files of at most five gigabytes, so that host memory holds one
 * tensor at most, whatever the model's size. A model that fits into one file becomes
 * `model.safetensors`.
 */
export class ModelWriter implements Disposable {
  readonly #folder: string;
  readonly #shards: readonly Shard[];
  readonly #shardOf = new Map<string, Shard>();
  readonly #totalBytes: number;

  /**
   * Prepares to write into an existing folder; nothing is written before the first tensor.
   *
   * @param tensors All tensors that will be written, in the order of the files.
   * @throws {RangeError} If there are two of one name.
   */
  constructor(
    folder: string,
    tensors: Iterable<TensorOutline>,
    options: { readonly shardBytes?: number } = {},
  ) {
    const groups = grouped(tensors, options.shardBytes ?? SHARD_BYTES);
    this.#folder = folder;
    this.#shards = groups.map((tensors, index) => ({
      file: groups.length === 1
        ? SINGLE_FILE
        : `model-${digits(index + 1)}-of-${digits(groups.length)}.safetensors`,
      tensors,
      writer: null,
      missing: tensors.length,
    }));
    for (const shard of this.#shards) {
      for (const { name } of shard.tensors) {
        if (this.#shardOf.has(name)) {
          throw new RangeError(`Cannot write ${folder}: tensor "${name}" is declared twice`);
        }
        this.#shardOf.set(name, shard);
      }
    }
    this.#totalBytes = groups.flat().reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  }

  /**
   * Writes a tensor.
   *
   * @throws {RangeError} If it was not declared, is written already, or does not fit its declaration.
   * @throws {UserError} If the disk is full or cannot be written.
   */
  write(name: string, values: TensorValues): void {
    const shard = this.#open(name);
    shard.writer?.write(name, values);
    this.#written(shard);
  }

  /** Writes a tensor as its parts come, rounding like {@linkcode SafetensorsWriter.write}. */
  async stream(name: string, parts: AsyncIterable<TensorPart<Float32Array>>): Promise<void> {
    const shard = this.#open(name);
    const { dtype } = shard.tensors.find((tensor) => tensor.name === name) as TensorOutline;
    for await (const { first, values } of parts) {
      shard.writer?.write(name, values, DTYPE_BYTES[dtype] * first);
    }
    this.#written(shard);
  }

  /** Copies the bytes of a tensor that has the declared width in `source`, piece by piece. */
  copy(name: string, source: TensorSource, storedName: string): void {
    const shard = this.#open(name);
    for (const { first, values } of source.rawPieces(storedName)) {
      shard.writer?.write(name, values, first);
    }
    this.#written(shard);
  }

  /** Writes the index if there are several files, `config.json` and the companions. */
  async finish(config: Readonly<Record<string, unknown>>, companionsFrom?: string): Promise<void> {
    const unfinished = this.#shards.find(({ missing }) => missing > 0);
    if (unfinished !== undefined) this.#writerOf(unfinished).finish(); // throws, naming the tensor
    if (this.#shards.length > 1) {
      await this.#writeJson(INDEX_FILE, {
        metadata: { total_size: this.#totalBytes },
        weight_map: Object.fromEntries([...this.#shardOf].map(([name, { file }]) => [name, file])),
      });
    }
    await this.#writeJson("config.json", config);
    if (companionsFrom === undefined) return;
    const tiktoken = [...Deno.readDirSync(companionsFrom)].map(({ name }) => name)
      .filter((name) => name.endsWith(".tiktoken"));
    for (const companion of [...COMPANIONS, ...tiktoken]) {
      const from = join(companionsFrom, companion);
      if (statOrNull(from) === null) continue;
      const to = join(this.#folder, companion);
      await Deno.mkdir(dirname(to), { recursive: true });
      await Deno.copyFile(from, to);
    }
  }

  /** Removes files that are not complete. */
  [Symbol.dispose](): void {
    for (const { writer } of this.#shards) writer?.discard();
  }

  #open(name: string): Shard {
    const shard = this.#shardOf.get(name);
    if (shard === undefined) {
      throw new RangeError(`Cannot write ${this.#folder}: tensor "${name}" is not declared`);
    }
    this.#writerOf(shard);
    return shard;
  }

  #writerOf(shard: Shard): SafetensorsWriter {
    return shard.writer ??= SafetensorsWriter.create(
      join(this.#folder, shard.file),
      shard.tensors,
    );
  }

  #written(shard: Shard): void {
    shard.missing--;
    if (shard.missing === 0) shard.writer?.finish();
  }

  #writeJson(name: string, value: unknown): Promise<void> {
    return Deno.writeTextFile(join(this.#folder, name), JSON.stringify(value, null, 2) + "\n");
  }
}

/** Consecutive tensors of at most `limit` bytes together. */
function grouped(tensors: Iterable<TensorOutline>, limit: number): TensorOutline[][] {
  const groups: TensorOutline[][] = [[]];
  let bytes = 0;
  for (const tensor of tensors) {
    if (bytes > 0 && bytes + bytesOf(tensor) > limit) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(tensor);
    bytes += bytesOf(tensor);
  }
  return groups;
}

function bytesOf({ dtype, shape }: Pick<TensorOutline, "dtype" | "shape">): number {
  return elementCount(shape) * DTYPE_BYTES[dtype];
}

/** What no quantizer and no adapter touches (embedding, norms, biases, head), as wide as it was. */
export function plainOutlines(source: ModelFolder): TensorOutline[] {
  return plainTensors(source.config)
    .map(({ name, shape }) => ({ name, shape, dtype: source.keptDtype(name) }));
}

/** Writes the tensors of {@linkcode plainOutlines}. */
export async function copyPlainTensors(source: ModelFolder, writer: ModelWriter): Promise<void> {
  for (const { name, dtype } of plainOutlines(source)) {
    const stored = source.storedName(name);
    if (source.tensors.dtype(stored) === dtype) writer.copy(name, source.tensors, stored);
    else writer.write(name, await source.floats(name));
  }
}

function digits(number: number): string {
  return String(number).padStart(5, "0");
}
