/**
 * Writing safetensors files, tensor by tensor. A file appears under its name only when it is
 * complete and on disk.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { float32ToBfloat16, float32ToFloat16 } from "./half_precision.ts";
import { encodeHeader, type TensorDeclaration, type TensorInfo } from "./safetensors_header.ts";

/** Elements of a tensor to be written; see {@linkcode SafetensorsWriter.write}. */
export type TensorValues = Float32Array | Uint32Array | Int32Array | Uint16Array | Uint8Array;

/** Elements converted at a time, so that a tensor is never held in two formats at once. */
const CONVERSION_BLOCK = 1 << 20;

/** A file being written: all tensors are declared first, then written in any order. */
export class SafetensorsWriter {
  readonly #path: string;
  readonly #temporary: string;
  readonly #file: Deno.FsFile;
  readonly #dataStart: number;
  readonly #tensors: ReadonlyMap<string, TensorInfo>;
  /** Bytes that are not written yet, of tensors that are not complete. */
  readonly #missing: Map<string, number>;
  /** Used again and again, because the collector is late with memory outside of its heap. */
  #rounded = new Uint16Array(0);
  #open = true;

  private constructor(
    path: string,
    declarations: Iterable<TensorDeclaration>,
    metadata: Readonly<Record<string, string>>,
  ) {
    const { bytes, tensors } = encodeHeader(declarations, { format: "pt", ...metadata }, path);
    this.#path = path;
    this.#temporary = `${path}.${crypto.randomUUID()}.tmp`;
    this.#tensors = tensors;
    this.#missing = new Map([...tensors].map(([name, { begin, end }]) => [name, end - begin]));
    this.#dataStart = bytes.length;
    this.#file = this.#attempt(() =>
      Deno.openSync(this.#temporary, { write: true, createNew: true })
    );
    try {
      this.#writeAt(0, bytes);
    } catch (error) {
      this.discard();
      throw error;
    }
  }

  /**
   * Starts a file next to `path`, under a temporary name.
   *
   * @param metadata Added to `{"format": "pt"}`, which readers of the field expect.
   * @throws {UserError} If a declaration is invalid or the file cannot be created.
   */
  static create(
    path: string,
    declarations: Iterable<TensorDeclaration>,
    metadata: Readonly<Record<string, string>> = {},
  ): SafetensorsWriter {
    return new SafetensorsWriter(path, declarations, metadata);
  }

  /**
   * Writes one tensor, or the part of it that starts `first` bytes in.
   *
   * A `Float32Array` is stored as the declared F32, or rounded to nearest even as F16 or BF16; a
   * `Uint32Array` goes with U32, an `Int32Array` with I32, a `Uint16Array` with U16 or as the raw
   * bits of F16 and BF16, and a `Uint8Array` holds the bytes of any dtype as they are.
   *
   * @throws {RangeError} If the tensor was not declared, is already written, or `values` do not fit
   * its dtype and shape.
   * @throws {UserError} If the disk is full or cannot be written.
   */
  write(name: string, values: TensorValues, first?: number): void {
    const tensor = this.#tensors.get(name);
    const missing = this.#missing.get(name);
    if (tensor === undefined || missing === undefined) {
      throw new RangeError(`Cannot write tensor "${name}": it is not declared or already written`);
    }
    const { dtype, shape, begin, end } = tensor;
    const rounded = values instanceof Float32Array && (dtype === "F16" || dtype === "BF16");
    const bytes = rounded ? values.length * 2 : values.byteLength;
    const size = end - begin;
    const fits = first === undefined ? bytes === size : first >= 0 && first + bytes <= size;
    if (!fits || bytes > missing || !(rounded || holds(values, dtype))) {
      throw new RangeError(
        `Cannot write tensor "${name}": ${values.constructor.name} of ${values.length} elements ` +
          `does not fit ${dtype} [${shape.join(", ")}]`,
      );
    }
    const start = this.#dataStart + begin + (first ?? 0);
    const block = Math.min(CONVERSION_BLOCK, values.length);
    if (rounded && this.#rounded.length < block) this.#rounded = new Uint16Array(block);
    if (rounded) {
      const round = dtype === "F16" ? float32ToFloat16 : float32ToBfloat16;
      for (let at = 0; at < values.length; at += CONVERSION_BLOCK) {
        const block = values.subarray(at, at + CONVERSION_BLOCK);
        this.#writeAt(start + at * 2, round(block, this.#rounded.subarray(0, block.length)));
      }
    } else {
      this.#writeAt(start, values);
    }
    if (bytes === missing) this.#missing.delete(name);
    else this.#missing.set(name, missing - bytes);
  }

  /**
   * Completes the file: flushes it to disk and gives it its name.
   *
   * @throws {RangeError} If a declared tensor was not written.
   * @throws {UserError} If the disk is full or cannot be written.
   */
  finish(): void {
    const [unwritten] = this.#missing.keys();
    if (unwritten !== undefined) {
      this.discard();
      throw new RangeError(`Cannot finish ${this.#path}: tensor "${unwritten}" was not written`);
    }
    this.#attempt(() => this.#file.syncSync());
    this.#attempt(() => Deno.renameSync(this.#temporary, this.#path));
    this.#close();
  }

  /** Removes an unfinished file; nothing after {@linkcode SafetensorsWriter.finish}. */
  discard(): void {
    if (!this.#open) return;
    this.#close();
    Deno.removeSync(this.#temporary);
  }

  /** Discards the file at the end of a `using` block unless it is finished. */
  [Symbol.dispose](): void {
    this.discard();
  }

  #close(): void {
    this.#file.close();
    this.#open = false;
  }

  #writeAt(position: number, values: TensorValues): void {
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    this.#attempt(() => {
      this.#file.seekSync(position, Deno.SeekMode.Start);
      for (let done = 0; done < bytes.length;) {
        done += this.#file.writeSync(bytes.subarray(done));
      }
    });
  }

  #attempt<Result>(action: () => Result): Result {
    try {
      return action();
    } catch (error) {
      throw new UserError(
        `Cannot write ${this.#path}: ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
}

function holds(values: TensorValues, dtype: TensorInfo["dtype"]): boolean {
  if (values instanceof Float32Array) return dtype === "F32";
  if (values instanceof Uint32Array) return dtype === "U32";
  if (values instanceof Int32Array) return dtype === "I32";
  if (values instanceof Uint16Array) return dtype === "U16" || dtype === "F16" || dtype === "BF16";
  return true;
}
