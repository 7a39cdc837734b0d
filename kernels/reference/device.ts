/**
 * The reference device: every operation of the contract in plain float64 loops. It is slow and
 * obviously right, the readable specification of each operation and the oracle of the other devices.
 *
 * @module
 */

import type {
  Device,
  DeviceInfo,
  DeviceMemory,
  DType,
  Operations,
  Recording,
  Tensor,
} from "../device.ts";
import { type Allocation, Memory } from "./memory.ts";
import { ReferenceOperations } from "./operations.ts";

class ReferenceRecording implements Recording {
  #steps: (() => void)[] | null;

  constructor(
    readonly label: string,
    steps: (() => void)[],
    readonly allocations: ReadonlySet<Allocation>,
  ) {
    this.#steps = steps;
  }

  get length(): number {
    return this.#steps?.length ?? 0;
  }

  run(): void {
    if (!this.#steps) {
      throw new RangeError(`Cannot run "${this.label}": it was released; record it again`);
    }
    for (const { freed, label } of this.allocations) {
      if (freed) {
        throw new RangeError(`Cannot run "${this.label}": its tensor "${label}" was freed`);
      }
    }
    for (const step of this.#steps) step();
  }

  release(): void {
    this.#steps = null;
  }
}

/**
 * A device that computes in float64 on the host.
 *
 * @example
 * ```ts
 * import { ReferenceDevice } from "./device.ts";
 *
 * const device = new ReferenceDevice();
 * const left = device.tensor("f32", [2], "left");
 * const sum = device.tensor("f32", [2], "sum");
 * device.write(left, Float32Array.of(1, 2));
 * device.run(device.record("double", (operations) => {
 *   operations.add({ left, right: left, output: sum });
 * }));
 * if ((await device.readFloats(sum)).join() !== "2,4") throw new Error("1 + 1 is 2");
 * ```
 */
export class ReferenceDevice implements Device {
  /** See {@linkcode Device.info}; a float takes eight bytes here. */
  readonly info: DeviceInfo;
  readonly #memory: Memory;
  readonly #recordings = new WeakSet<Recording>();

  /** Makes a device whose tensors take at most `maxTensorBytes` each. */
  constructor(maxTensorBytes = 2 ** 32) {
    this.#memory = new Memory(maxTensorBytes);
    this.info = {
      name: "reference",
      class: "reference-f64",
      description: "reference (plain TypeScript, float64)",
      maxTensorBytes,
    };
  }

  /** See {@linkcode Device.tensor}. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    return this.#memory.allocate(dtype, shape, label);
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    return this.#memory.view(tensor, offset, shape, label);
  }

  /** See {@linkcode Device.free}. */
  free(tensor: Tensor): void {
    this.#memory.free(tensor);
  }

  /** See {@linkcode Device.write}. */
  write(tensor: Tensor, data: Float32Array | Float64Array | Uint32Array, offset = 0): void {
    const target = data instanceof Uint32Array
      ? this.#memory.words(tensor)
      : this.#memory.floats(tensor);
    checkRange("write", tensor, offset, data.length);
    target.set(data, offset);
  }

  /** See {@linkcode Device.copy}. */
  copy(
    source: Tensor,
    sourceOffset: number,
    destination: Tensor,
    destinationOffset: number,
    count: number,
  ): void {
    const from = this.#memory.data(source);
    const to = this.#memory.data(destination);
    if (source.dtype !== destination.dtype) {
      throw new TypeError(
        `Cannot copy "${source.label}" (${source.dtype}) to "${destination.label}" ` +
          `(${destination.dtype}): the types differ`,
      );
    }
    checkRange("copy from", source, sourceOffset, count);
    checkRange("copy to", destination, destinationOffset, count);
    to.set(from.subarray(sourceOffset, sourceOffset + count), destinationOffset);
  }

  /** See {@linkcode Device.readFloats}. */
  // deno-lint-ignore require-await -- errors become rejections, as on other devices
  async readFloats(tensor: Tensor, into?: ArrayBuffer): Promise<Float64Array> {
    const values = this.#memory.floats(tensor);
    if (into === undefined) return values.slice();
    const result = new Float64Array(into, 0, values.length);
    result.set(values);
    return result;
  }

  /** See {@linkcode Device.readWords}. */
  // deno-lint-ignore require-await -- errors become rejections, as on other devices
  async readWords(tensor: Tensor): Promise<Uint32Array> {
    return this.#memory.words(tensor).slice();
  }

  /** See {@linkcode Device.record}. */
  record(label: string, build: (operations: Operations) => void): Recording {
    const operations = new ReferenceOperations(this.#memory);
    build(operations);
    const recording = new ReferenceRecording(label, operations.steps, operations.allocations);
    this.#recordings.add(recording);
    return recording;
  }

  /** See {@linkcode Device.run}; runs at once. */
  run(recording: Recording): void {
    if (!(recording instanceof ReferenceRecording && this.#recordings.has(recording))) {
      throw new RangeError(`Cannot run "${recording.label}": another device recorded it`);
    }
    recording.run();
  }

  /** See {@linkcode Device.settle}; nothing is ever queued here. */
  settle(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@linkcode Device.memory}. */
  memory(): DeviceMemory {
    return this.#memory.usage();
  }

  /** See {@linkcode Device.close}. */
  close(): void {
    this.#memory.clear();
  }
}

function checkRange(verb: string, tensor: Tensor, offset: number, count: number): void {
  if (!Number.isInteger(offset) || offset < 0 || count < 0 || offset + count > tensor.size) {
    throw new RangeError(
      `Cannot ${verb} "${tensor.label}": ${count} elements at offset ${offset} are outside its ${tensor.size}`,
    );
  }
}
