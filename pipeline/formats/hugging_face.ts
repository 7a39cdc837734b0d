/**
 * The tensors of a Hugging Face model folder: `model.safetensors`, or shards under
 * `model.safetensors.index.json`.
 *
 * @module
 */

import { basename, join } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import { readJsonOrNull, statOrNull } from "./files.ts";
import {
  type Dtype,
  type Piece,
  type RawPiece,
  SafetensorsFile,
  type TensorInfo,
} from "./safetensors.ts";

/** Name of the tensors of a folder that has them in one file. */
export const SINGLE_FILE = "model.safetensors";
/** Name of the list of shards of a folder that has several. */
export const INDEX_FILE = "model.safetensors.index.json";

const INDEX = z.object({ weight_map: z.record(z.string(), z.string()) });

/** Named tensors, read one at a time. */
export interface TensorSource {
  /** Where they are, for messages. */
  readonly folder: string;
  /** All names, in the order of the file or index. */
  readonly names: readonly string[];
  /** Whether there is such a tensor; the methods below throw a UserError if not. */
  has(name: string): boolean;
  /** Sizes of its dimensions, outermost first. */
  shape(name: string): readonly number[];
  /** Its element type as stored. */
  dtype(name: string): Dtype;
  /** The tensor as f32; from F32, F16, BF16 or F64. */
  readFloats(name: string): Float32Array<ArrayBuffer>;
  /** Fills `values` with the tensor. */
  readInto(name: string, values: Float32Array): void;
  /** The tensor piece by piece; a piece is valid until the next. */
  pieces(name: string): Iterable<Piece>;
  /** Its bytes as stored, piece by piece; `first` counts bytes. */
  rawPieces(name: string): Iterable<RawPiece>;
  /** Rows of its first dimension as f32. */
  readRows(name: string, first: number, count: number): Float32Array<ArrayBuffer>;
  /** Its bytes as stored. */
  readBytes(name: string): Uint8Array<ArrayBuffer>;
  /** Closes the files. */
  close(): void;
  /** Closes the files at the end of a `using` block. */
  [Symbol.dispose](): void;
}

/**
 * Opens the tensors of a model folder. Reads headers only; a tensor is read when asked for, so that
 * the memory in use is bounded by the largest tensor.
 *
 * @throws {UserError} If the folder has no safetensors, the index is invalid or names a shard that
 * is missing or a tensor that its shard lacks, or a header is invalid.
 *
 * @example
 * ```ts
 * import { openTensors } from "./hugging_face.ts";
 * import { SafetensorsWriter } from "./safetensors.ts";
 *
 * const folder = Deno.makeTempDirSync();
 * using writer = SafetensorsWriter.create(`${folder}/model.safetensors`, [
 *   { name: "w", dtype: "F32", shape: [2] },
 * ]);
 * writer.write("w", Float32Array.of(1, 2));
 * writer.finish();
 * using tensors = openTensors(folder);
 * if (tensors.readFloats("w").join() !== "1,2") throw new Error("values");
 * Deno.removeSync(folder, { recursive: true });
 * ```
 */
export function openTensors(folder: string): TensorSource {
  const index = readJsonOrNull(join(folder, INDEX_FILE));
  if (index === null) {
    const path = join(folder, SINGLE_FILE);
    if (statOrNull(path) === null) {
      throw new UserError(
        `${folder}: there is neither ${SINGLE_FILE} nor ${INDEX_FILE}; wanted a Hugging Face ` +
          `model folder with safetensors weights`,
      );
    }
    const file = SafetensorsFile.open(path);
    return new FolderTensors(
      folder,
      [file],
      new Map([...file.tensors.keys()].map((name) => [name, file])),
    );
  }
  return openShards(folder, parseIndex(index, join(folder, INDEX_FILE)));
}

/** Files whose tensors are addressed by name. */
class FolderTensors implements TensorSource {
  readonly folder: string;
  readonly #files: readonly SafetensorsFile[];
  readonly #fileOf: ReadonlyMap<string, SafetensorsFile>;

  constructor(
    folder: string,
    files: readonly SafetensorsFile[],
    fileOf: ReadonlyMap<string, SafetensorsFile>,
  ) {
    this.folder = folder;
    this.#files = files;
    this.#fileOf = fileOf;
  }

  get names(): readonly string[] {
    return [...this.#fileOf.keys()];
  }

  has(name: string): boolean {
    return this.#fileOf.has(name);
  }

  shape(name: string): readonly number[] {
    return this.#info(name).shape;
  }

  dtype(name: string): Dtype {
    return this.#info(name).dtype;
  }

  readFloats(name: string): Float32Array<ArrayBuffer> {
    return this.#file(name).readFloats(name);
  }

  readRows(name: string, first: number, count: number): Float32Array<ArrayBuffer> {
    return this.#file(name).readRows(name, first, count);
  }

  readInto(name: string, values: Float32Array): void {
    this.#file(name).readInto(name, values);
  }

  pieces(name: string): Iterable<Piece> {
    return this.#file(name).pieces(name);
  }

  rawPieces(name: string): Iterable<RawPiece> {
    return this.#file(name).rawPieces(name);
  }

  readBytes(name: string): Uint8Array<ArrayBuffer> {
    return this.#file(name).readBytes(name);
  }

  close(): void {
    for (const file of this.#files) file.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #file(name: string): SafetensorsFile {
    const file = this.#fileOf.get(name);
    if (file === undefined) {
      throw new UserError(
        `${this.folder}: the model has no tensor "${name}" among its ${this.#fileOf.size}; the ` +
          `weights do not fit config.json`,
      );
    }
    return file;
  }

  #info(name: string): TensorInfo {
    return this.#file(name).tensors.get(name) as TensorInfo;
  }
}

function openShards(folder: string, weightMap: ReadonlyMap<string, string>): TensorSource {
  const files = new Map<string, SafetensorsFile>();
  try {
    const fileOf = new Map<string, SafetensorsFile>();
    for (const [name, shard] of weightMap) {
      const file = files.get(shard) ?? openShard(folder, shard, name);
      files.set(shard, file);
      if (!file.tensors.has(name)) {
        throw new UserError(
          `${folder}: ${INDEX_FILE} says that ${shard} holds tensor "${name}", but it does not`,
        );
      }
      fileOf.set(name, file);
    }
    return new FolderTensors(folder, [...files.values()], fileOf);
  } catch (error) {
    for (const file of files.values()) file.close();
    throw error;
  }
}

function openShard(folder: string, shard: string, name: string): SafetensorsFile {
  if (basename(shard) !== shard) {
    throw new UserError(
      `${folder}: ${INDEX_FILE} maps "${name}" to "${shard}"; wanted the name of a file in the folder`,
    );
  }
  if (statOrNull(join(folder, shard)) === null) {
    throw new UserError(
      `${folder}: ${INDEX_FILE} names ${shard} for tensor "${name}", but there is no such file`,
    );
  }
  return SafetensorsFile.open(join(folder, shard));
}

function parseIndex(json: unknown, path: string): ReadonlyMap<string, string> {
  const index = INDEX.safeParse(json);
  if (!index.success) {
    throw new UserError(`${path}: wanted {"weight_map": {tensor name: file name}}`);
  }
  return new Map(Object.entries(index.data.weight_map));
}
