/**
 * Reading safetensors files, one tensor or one range of rows at a time. All reads are synchronous:
 * a file has one position, which concurrent reads would move under each other.
 *
 * @module
 */

import { UserError } from "../errors.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./half_precision.ts";
import {
  type Dtype,
  DTYPE_BYTES,
  elementCount,
  MAX_HEADER_BYTES,
  parseHeader,
  type TensorInfo,
} from "./safetensors_header.ts";

export { type Dtype, type TensorDeclaration, type TensorInfo } from "./safetensors_header.ts";
export { SafetensorsWriter, type TensorValues } from "./safetensors_writer.ts";

/** Elements read at a time where a tensor is converted, or passed on in pieces. */
const PIECE = 1 << 20;

/** Fills `floats` with the elements at the start of `bytes`. */
type Conversion = (bytes: ArrayBuffer, floats: Float32Array) => void;

const CONVERSIONS: Partial<Record<Dtype, Conversion>> = {
  BF16: (bytes, floats) => bfloat16ToFloat32(new Uint16Array(bytes, 0, floats.length), floats),
  F16: (bytes, floats) => float16ToFloat32(new Uint16Array(bytes, 0, floats.length), floats),
  F64: (bytes, floats) => floats.set(new Float64Array(bytes, 0, floats.length)),
};

/** Memory that is used again, because the collector is late with memory outside of its heap. */
interface Reusable {
  buffer: ArrayBuffer;
}

/** At least `bytes` bytes, in a multiple of every element's width. */
function reused(memory: Reusable, bytes: number): ArrayBuffer {
  if (memory.buffer.byteLength < bytes) {
    memory.buffer = new ArrayBuffer(Math.ceil(bytes / 8) * 8);
  }
  return memory.buffer;
}

/** Consecutive bytes of a tensor. */
export interface RawPiece {
  /** Index of the first. */
  readonly first: number;
  /** Valid until the next piece of any tensor of the file. */
  readonly values: Uint8Array<ArrayBuffer>;
}

/** Consecutive elements of a tensor. */
export interface Piece {
  /** Index of the first. */
  readonly first: number;
  /** Valid until the next piece of any tensor of the file. */
  readonly values: Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;
}

/**
 * An open file.
 *
 * @example
 * ```ts
 * import { SafetensorsFile, SafetensorsWriter } from "./safetensors.ts";
 *
 * const path = Deno.makeTempFileSync();
 * const writer = SafetensorsWriter.create(path, [{ name: "w", dtype: "BF16", shape: [2, 2] }]);
 * writer.write("w", Float32Array.of(1, 2, 3, 4));
 * writer.finish();
 *
 * using file = SafetensorsFile.open(path);
 * if (file.readRows("w", 1, 1).join() !== "3,4") throw new Error("row 1 is 3, 4");
 * Deno.removeSync(path);
 * ```
 */
export class SafetensorsFile {
  /** As given to {@linkcode SafetensorsFile.open}. */
  readonly path: string;
  /** By name, in the order of the header. */
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** The `__metadata__` of the header. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly #file: Deno.FsFile;
  readonly #dataStart: number;
  /** Memory of pieces, and of elements before their conversion. */
  readonly #pieces: Reusable = { buffer: new ArrayBuffer(0) };
  readonly #stored: Reusable = { buffer: new ArrayBuffer(0) };

  private constructor(path: string, file: Deno.FsFile) {
    this.path = path;
    this.#file = file;
    const size = file.statSync().size;
    if (size < 8) {
      throw new UserError(
        `${path}: a safetensors file starts with 8 bytes of header size, but this one has ` +
          `${size} bytes; it is truncated or not a safetensors file`,
      );
    }
    const announced = new DataView(this.#read(0, 8).buffer).getBigUint64(0, true);
    const headerBytes = Number(announced);
    if (headerBytes > Math.min(MAX_HEADER_BYTES, size - 8)) {
      throw new UserError(
        `${path}: the first 8 bytes announce a header of ${announced} bytes, but ` +
          `${size - 8} follow and the format allows ${MAX_HEADER_BYTES}; the file is truncated ` +
          `or not a safetensors file`,
      );
    }
    this.#dataStart = 8 + headerBytes;
    let text: string;
    try {
      text = new TextDecoder("utf-8", { fatal: true }).decode(this.#read(8, headerBytes));
    } catch {
      throw new UserError(`${path}: the safetensors header is not UTF-8`);
    }
    const header = parseHeader(text, size - this.#dataStart, path);
    this.tensors = header.tensors;
    this.metadata = header.metadata;
  }

  /**
   * Opens a file and validates its header; reads no tensor.
   *
   * @throws {UserError} If the file cannot be read, is truncated, or its header is invalid.
   */
  static open(path: string): SafetensorsFile {
    let file: Deno.FsFile;
    try {
      file = Deno.openSync(path);
    } catch (error) {
      const reason = error instanceof Deno.errors.NotFound ? "no such file" : String(error);
      throw new UserError(`Cannot open ${path}: ${reason}`);
    }
    try {
      return new SafetensorsFile(path, file);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  /**
   * The stored bytes of a tensor, or `count` of them from `first` on.
   *
   * @throws {RangeError} If the tensor has no such bytes.
   * @throws {UserError} If the file has no such tensor.
   */
  readBytes(name: string, first = 0, count?: number): Uint8Array<ArrayBuffer> {
    const { begin, end } = this.#tensor(name);
    const bytes = count ?? end - begin - first;
    if (!(first >= 0 && bytes >= 0 && begin + first + bytes <= end)) {
      throw new RangeError(
        `Cannot read bytes ${first} to ${first + bytes} of "${name}": it has ${end - begin}`,
      );
    }
    return this.#read(this.#dataStart + begin + first, bytes);
  }

  /**
   * A tensor as f32: exact from F32, F16 and BF16, rounded from F64.
   *
   * @throws {UserError} If the file has no such tensor, or its dtype is none of these four.
   */
  readFloats(name: string): Float32Array<ArrayBuffer> {
    return this.#readFloats(name, 0, elementCount(this.#tensor(name).shape));
  }

  /**
   * Fills `values` with a tensor of as many elements.
   *
   * @throws {RangeError} If the tensor has another number of elements.
   * @throws {UserError} As {@linkcode SafetensorsFile.readFloats}.
   */
  readInto(name: string, values: Float32Array): void {
    const count = elementCount(this.#tensor(name).shape);
    if (values.length !== count) {
      throw new RangeError(`Cannot read "${name}" into ${values.length} values: it has ${count}`);
    }
    this.#fill(name, 0, values);
  }

  /**
   * Rows `first` to `first + count - 1` of a tensor's first dimension, as f32.
   *
   * @throws {RangeError} If the tensor has no such rows.
   * @throws {UserError} As {@linkcode SafetensorsFile.readFloats}.
   */
  readRows(name: string, first: number, count: number): Float32Array<ArrayBuffer> {
    const { shape } = this.#tensor(name);
    const rows = shape[0] ?? 0;
    if (!(first >= 0 && count >= 0 && first + count <= rows)) {
      throw new RangeError(
        `Cannot read rows ${first} to ${first + count} of "${name}": it has ${rows} rows`,
      );
    }
    const columns = elementCount(shape.slice(1));
    return this.#readFloats(name, first * columns, count * columns);
  }

  /**
   * A tensor piece by piece, in memory that is used again, also for other tensors: a large model
   * passes through a few megabytes. U32 is passed on as it is, everything else as f32.
   *
   * @throws {UserError} As {@linkcode SafetensorsFile.readFloats}.
   */
  *pieces(name: string): Generator<Piece> {
    const { dtype, shape } = this.#tensor(name);
    const count = elementCount(shape);
    const Values = dtype === "U32" ? Uint32Array : Float32Array;
    const values = new Values(
      reused(this.#pieces, Values.BYTES_PER_ELEMENT * Math.min(PIECE, count)),
    );
    for (let first = 0; first < count; first += PIECE) {
      const piece = values.subarray(0, Math.min(PIECE, count - first));
      this.#fill(name, first, piece);
      yield { first, values: piece };
    }
  }

  /** The stored bytes of a tensor piece by piece, likewise. */
  *rawPieces(name: string): Generator<RawPiece> {
    const { begin, end } = this.#tensor(name);
    const bytes = new Uint8Array(reused(this.#pieces, Math.min(4 * PIECE, end - begin)));
    for (let first = 0; first < end - begin; first += bytes.length) {
      const values = bytes.subarray(0, end - begin - first);
      this.#readInto(this.#dataStart + begin + first, values);
      yield { first, values };
    }
  }

  /** Closes the file. */
  close(): void {
    this.#file.close();
  }

  /** Closes the file at the end of a `using` block. */
  [Symbol.dispose](): void {
    this.close();
  }

  #tensor(name: string): TensorInfo {
    const tensor = this.tensors.get(name);
    if (tensor === undefined) {
      throw new UserError(
        `${this.path}: there is no tensor "${name}" among its ${this.tensors.size} tensors`,
      );
    }
    return tensor;
  }

  #readFloats(name: string, first: number, count: number): Float32Array<ArrayBuffer> {
    const floats = new Float32Array(count);
    this.#fill(name, first, floats);
    return floats;
  }

  /** Reads the elements from `first` on into all of `values`. */
  #fill(name: string, first: number, values: Float32Array | Uint32Array): void {
    const { dtype, begin } = this.#tensor(name);
    const width = DTYPE_BYTES[dtype];
    const start = this.#dataStart + begin + first * width;
    if (dtype === (values instanceof Float32Array ? "F32" : "U32")) {
      this.#readInto(start, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
      return;
    }
    const convert = CONVERSIONS[dtype];
    if (convert === undefined || !(values instanceof Float32Array)) {
      throw new UserError(
        `${this.path}: tensor "${name}" is ${dtype}; wanted one of F32, F16, BF16, F64`,
      );
    }
    const bytes = new Uint8Array(reused(this.#stored, width * Math.min(PIECE, values.length)));
    for (let at = 0; at < values.length; at += PIECE) {
      const floats = values.subarray(at, at + PIECE);
      this.#readInto(start + at * width, bytes.subarray(0, width * floats.length));
      convert(bytes.buffer, floats);
    }
  }

  #read(position: number, bytes: number): Uint8Array<ArrayBuffer> {
    const buffer = new Uint8Array(bytes);
    this.#readInto(position, buffer);
    return buffer;
  }

  #readInto(position: number, bytes: Uint8Array): void {
    this.#file.seekSync(position, Deno.SeekMode.Start);
    for (let done = 0; done < bytes.length;) {
      const count = this.#file.readSync(bytes.subarray(done));
      if (count === null) {
        throw new UserError(`${this.path}: the file was shortened while it was being read`);
      }
      done += count;
    }
  }
}
