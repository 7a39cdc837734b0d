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
  Tensor,
} from "../device.ts";
import type { MemoryModel } from "./memory_model.ts";

/** Something that holds memory: a tensor, or what a recording keeps besides tensors. */
export interface Holding {
  /** Label of the tensor, or "scratch of" and the label of the recording. */
  readonly label: string;
  /** Bytes that it takes on the device. */
  readonly bytes: number;
}

/** What was held, and from which phase to which; see {@linkcode CountingDevice.phase}. */
export interface Lifetime extends Holding {
  /** Phase in which it was allocated. */
  readonly from: number;
  /** Last phase in which it was held; the last of all if it was never freed. */
  readonly to: number;
  /** Whether it was held when the device held most. */
  readonly atPeak: boolean;
}

/** An entry of the log; `freed` is its place in the log, or null while it lives. */
interface Entry extends Holding {
  readonly allocated: number;
  readonly from: number;
  freed: { readonly at: number; readonly phase: number } | null;
}

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
  /** Names of the phases so far, in order. */
  readonly phases: string[] = ["start"];
  readonly #model: MemoryModel;
  readonly #live = new Map<Tensor, Entry>();
  readonly #log: Entry[] = [];
  /** Allocations and frees so far: the clock of the log. */
  #time = 0;
  #current = 0;
  #peak = 0;
  #peakTime = 0;

  /** Counts as `model` says. */
  constructor(model: MemoryModel) {
    this.#model = model;
    this.info = model.info;
  }

  /** Begins a phase: what is allocated from here on belongs to it. */
  phase(name: string): void {
    this.phases.push(name);
  }

  /** Everything that was ever held, in the order of allocation. */
  lifetimes(): Lifetime[] {
    return this.#log.map(({ label, bytes, from, allocated, freed }) => ({
      label,
      bytes,
      from,
      to: freed?.phase ?? this.phases.length - 1,
      atPeak: allocated <= this.#peakTime && (freed === null || freed.at > this.#peakTime),
    }));
  }

  /** See {@linkcode Device.tensor}. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const tensor = this.#model.tensor(dtype, shape, label);
    const bytes = this.#model.tensorBytes(tensor);
    if (bytes > this.info.maxTensorBytes) {
      throw new RangeError(
        `The tensor "${label}" [${shape.join(", ")}] needs ${bytes} bytes, but ` +
          `${this.info.description} allows ${this.info.maxTensorBytes} per tensor: use a smaller ` +
          `model or batch, or a device with larger tensors`,
      );
    }
    this.#live.set(tensor, this.#allocate(label, bytes));
    return tensor;
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    return this.#model.view(tensor, offset, shape, label);
  }

  /** See {@linkcode Device.free}. */
  free(tensor: Tensor): void {
    const entry = this.#live.get(tensor);
    if (entry === undefined) {
      throw new RangeError(`Cannot free "${tensor.label}": it is a view, or was freed before`);
    }
    this.#live.delete(tensor);
    this.#free(entry);
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
  record(label: string, build: (operations: Operations) => void): Recording {
    let length = 0;
    const recorder = this.#model.recorder();
    build(counted(recorder.operations, () => length++));
    const entry = this.#allocate(`scratch of ${label}`, recorder.bytes());
    let released = false;
    return {
      label,
      length,
      release: () => {
        if (!released) this.#free(entry);
        released = true;
      },
    };
  }

  /** Does nothing: a replay holds nothing that its recording does not. */
  run(): void {}

  /** See {@linkcode Device.settle}; nothing is ever queued here. */
  settle(): Promise<void> {
    return Promise.resolve();
  }

  /** See {@linkcode Device.memory}. */
  memory(): DeviceMemory {
    return { current: this.#current, peak: this.#peak };
  }

  /** Frees everything. */
  close(): void {
    for (const tensor of [...this.#live.keys()]) this.free(tensor);
  }

  #allocate(label: string, bytes: number): Entry {
    const entry: Entry = {
      label,
      bytes,
      allocated: ++this.#time,
      from: this.phases.length - 1,
      freed: null,
    };
    this.#log.push(entry);
    this.#current += bytes;
    if (this.#current > this.#peak) {
      this.#peak = this.#current;
      this.#peakTime = this.#time;
    }
    return entry;
  }

  #free(entry: Entry): void {
    entry.freed = { at: ++this.#time, phase: this.phases.length - 1 };
    this.#current -= entry.bytes;
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
