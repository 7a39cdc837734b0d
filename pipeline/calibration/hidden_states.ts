/**
 * The hidden states of all calibration windows between two blocks: in a file, because together they
 * are larger than memory.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";

/** Values as a device holds them: float64 on `reference`, float32 elsewhere. */
type Values = Float32Array<ArrayBuffer> | Float64Array<ArrayBuffer>;

/**
 * Batches of equal size in a scratch file. Where the system allows it the file has no name from the
 * start, so that nothing is left of it however the process ends; else disposing removes it.
 */
export class HiddenStates implements Disposable {
  /** Numbers in a batch. */
  readonly size: number;
  /** What is to be removed at the end; null if it is removed already. */
  readonly #path: string | null;
  readonly #file: Deno.FsFile;
  /** Memory of the batch that was read last. */
  readonly #batch: Values;

  /**
   * Makes the file.
   *
   * @param path Where there is no file yet.
   * @param device Whose values will be kept, without rounding them.
   * @param size Numbers in a batch.
   */
  constructor(path: string, device: Pick<Device, "info">, size: number) {
    this.size = size;
    this.#batch = device.info.name === "reference"
      ? new Float64Array(size)
      : new Float32Array(size);
    this.#file = Deno.openSync(path, { read: true, write: true, createNew: true });
    this.#path = removeIfPossible(path) ? null : path;
  }

  /** Bytes of the memory through which batches pass. */
  get batchBytes(): number {
    return this.#batch.byteLength;
  }

  /** A batch; valid until the next one is read. */
  read(batch: number): Values {
    this.#seek(batch * this.size);
    const bytes = new Uint8Array(this.#batch.buffer);
    for (let done = 0; done < bytes.length;) {
      const count = this.#file.readSync(bytes.subarray(done));
      if (count === null) throw new RangeError(`Batch ${batch} was not written whole`);
      done += count;
    }
    return this.#batch;
  }

  /**
   * Writes consecutive numbers.
   *
   * @param first Index of the first, counted through all batches.
   */
  write(first: number, values: Float32Array | Float64Array): void {
    const wide = this.#batch instanceof Float64Array;
    const kept = wide === values instanceof Float64Array ? values : Float64Array.from(values);
    if (!wide && kept instanceof Float64Array) {
      throw new TypeError("Values in float64 do not fit a file of float32");
    }
    this.#seek(first);
    const bytes = new Uint8Array(kept.buffer, kept.byteOffset, kept.byteLength);
    for (let done = 0; done < bytes.length;) done += this.#file.writeSync(bytes.subarray(done));
  }

  /** Closes and removes the file. */
  [Symbol.dispose](): void {
    this.#file.close();
    if (this.#path !== null) Deno.removeSync(this.#path);
  }

  #seek(element: number): void {
    this.#file.seekSync(element * this.#batch.BYTES_PER_ELEMENT, Deno.SeekMode.Start);
  }
}

/** Windows removes no file that is open. */
function removeIfPossible(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch {
    return false;
  }
}
