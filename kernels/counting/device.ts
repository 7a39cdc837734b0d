/**
 * A device that only counts: it hands out tensors, checks shapes and knows at any moment how many
 * bytes a real device would hold, but has no memory and computes nothing. The code that allocates a
 * model is run on it to learn what the model will need.
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
  RecordOptions,
  Tensor,
} from "../device.ts";
import { Ledger } from "./ledger.ts";
import type { MemoryModel } from "./memory_model.ts";

/**
 * Counts what one kind of device would hold.
 *
 * @example
 * ```ts
 * import { CountingDevice } from "./device.ts";
 * import { plainMemory } from "./memory_model.ts";
 *
 * const device = new CountingDevice(plainMemory("an example", 2 ** 40));
 * const half = device.tensor("f32", [1 << 20, 1 << 10], "half");
 * device.free(half);
 * device.tensor("u32", [1 << 18], "codes");
 * const { current, peak } = device.memory();
 * if (current !== 2 ** 20 || peak !== 2 ** 32) throw new Error("4 GiB were planned, none held");
 * ```
 */
export class CountingDevice implements Device {
  /** Of the device that is stood in for. */
  readonly info: DeviceInfo;
  /** Whether the memory of the device is the host's own. */
  readonly inHostMemory: boolean;
  /** Everything that was held, and when; the host's memory too, where the caller says so. */
  readonly ledger: Ledger = new Ledger();
  readonly #model: MemoryModel;
  #largest = { label: "", bytes: 0 };
  readonly #live = new Map<Tensor, { drop(): void }>();

  /** Counts as `model` says. */
  constructor(model: MemoryModel) {
    this.#model = model;
    this.info = model.info;
    this.inHostMemory = model.inHostMemory;
  }

  /** The largest tensor so far; a real device makes none above `info.maxTensorBytes`. */
  get largestTensor(): { readonly label: string; readonly bytes: number } {
    return this.#largest;
  }

  /** See {@linkcode Device.tensor}; any size goes. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const tensor = this.#model.tensor(dtype, shape, label);
    const bytes = this.#model.tensorBytes(tensor);
    if (bytes > this.#largest.bytes) this.#largest = { label, bytes };
    this.#live.set(tensor, this.ledger.take("device", label, bytes));
    return tensor;
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    return this.#model.view(tensor, offset, shape, label);
  }

  /** See {@linkcode Device.free}. */
  free(tensor: Tensor): void {
    const held = this.#live.get(tensor);
    if (held === undefined) {
      throw new RangeError(`Cannot free "${tensor.label}": it is a view, or was freed before`);
    }
    this.#live.delete(tensor);
    held.drop();
  }

  /** Does nothing: there is no memory to write to. */
  write(): void {}

  /** Does nothing: there is no memory to copy. */
  copy(): void {}

  /** Always fails: nothing was computed. */
  readFloats(tensor: Tensor): Promise<never> {
    return Promise.reject(nothingToRead(tensor));
  }

  /** Always fails: nothing was computed. */
  readWords(tensor: Tensor): Promise<never> {
    return Promise.reject(nothingToRead(tensor));
  }

  /** See {@linkcode Device.record}; shapes are checked. */
  record(
    label: string,
    build: (operations: Operations) => void,
    options?: RecordOptions,
  ): Recording {
    let length = 0;
    const recorder = this.#model.recorder(options);
    build(counted(recorder.operations, () => length++));
    const held = this.ledger.take("device", `scratch of ${label}`, recorder.bytes());
    return { label, length, release: () => held.drop() };
  }

  /** Does nothing: a replay holds nothing that its recording does not. */
  run(): void {}

  /** See {@linkcode Device.settle}; nothing is ever queued here. */
  settle(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@linkcode Device.memory}. */
  memory(): DeviceMemory {
    return { current: this.ledger.current(["device"]), peak: this.ledger.peak(["device"]) };
  }

  /** Frees all tensors. */
  close(): void {
    for (const tensor of [...this.#live.keys()]) this.free(tensor);
  }
}

function nothingToRead(tensor: Tensor): TypeError {
  return new TypeError(`Cannot read "${tensor.label}": a counting device computes nothing`);
}

/** The same operations, each call announced. */
function counted(operations: Operations, announce: () => void): Operations {
  return new Proxy(operations, {
    get(target, name) {
      const operation = target[name as keyof Operations] as (args: unknown) => void;
      return (args: unknown) => {
        announce();
        operation.call(target, args);
      };
    },
  });
}
