/**
 * The base that an adapter brings along: a copy of the base it was made for, in which an initializer
 * has exchanged weights.
 *
 * @module
 */

import { join } from "node:path";
import type { HostWeight } from "../formats/host_weight.ts";
import { type LinearShape, modelLinears } from "../models/architecture.ts";
import type { ModelFolder } from "../models/model_folder.ts";
import { copyPlainTensors, ModelWriter, plainOutlines } from "../models/model_writer.ts";
import { moduleFormat, weightOutlines, weightTensors } from "../models/quantized_tensors.ts";

/** Folder of such a base inside an artifact of kind `adapter`. */
export const BASE_FOLDER = "base";

/** Writes a base weight by weight; nothing is written until the first one differs from the old base. */
export class OwnBase implements Disposable {
  readonly #folder: string;
  readonly #base: ModelFolder;
  readonly #written = new Set<string>();
  #writer: ModelWriter | null = null;

  /** Prepares `folder/base`, which does not exist. */
  constructor(folder: string, base: ModelFolder) {
    this.#folder = join(folder, BASE_FOLDER);
    this.#base = base;
  }

  /**
   * Writes the weight that replaces a layer's.
   *
   * @throws {RangeError} If its format is another one.
   */
  put(linear: LinearShape, weight: HostWeight): void {
    const [found, wanted] = [moduleFormat(weight), this.#base.moduleFormat(linear.path)];
    if (JSON.stringify(found) !== JSON.stringify(wanted)) {
      throw new RangeError(
        `The new weight of ${linear.path} is ${JSON.stringify(found)}, but its base is ` +
          JSON.stringify(wanted),
      );
    }
    this.#write(this.#open(), linear, weight);
  }

  /** Copies what was not replaced. Returns false, with nothing written, if nothing was. */
  async finish(): Promise<boolean> {
    if (this.#writer === null) return false;
    for (const linear of modelLinears(this.#base.config)) {
      if (this.#written.has(linear.path)) continue;
      this.#write(this.#writer, linear, await this.#base.weight(linear));
    }
    await copyPlainTensors(this.#base, this.#writer);
    await this.#writer.finish(this.#base.json, this.#base.folder);
    return true;
  }

  /** Removes files that are not complete. */
  [Symbol.dispose](): void {
    this.#writer?.[Symbol.dispose]();
  }

  #open(): ModelWriter {
    if (this.#writer !== null) return this.#writer;
    Deno.mkdirSync(this.#folder);
    // Dense weights in f32: a replaced one need not be representable in the width of the old base.
    this.#writer = new ModelWriter(this.#folder, [
      ...modelLinears(this.#base.config)
        .flatMap((linear) => weightOutlines(linear, this.#base.moduleFormat(linear.path))),
      ...plainOutlines(this.#base),
    ]);
    return this.#writer;
  }

  #write(writer: ModelWriter, { path }: LinearShape, weight: HostWeight): void {
    for (const { name, values } of weightTensors(path, weight)) writer.write(name, values);
    this.#written.add(path);
  }
}
