/**
 * Recordings: commands in linear memory, one per kernel call, with every address resolved.
 *
 * @module
 */

import {
  DeviceError,
  type DType,
  type Recording,
  type RecordOptions,
  sizeOf,
  type Tensor,
} from "../device.ts";
import { CATALOG } from "./catalog.ts";
import { COMMAND, type Kernel, PARAMETER_BYTES, type Parameters } from "./kernel.ts";
import type { LinearMemory, Range } from "./memory.ts";
import type { Recorder, ValuesOf } from "./recorder.ts";
import { type Allocation, CpuTensor, cpuTensor } from "./tensor.ts";

/** What a recording needs of its device. */
export interface RecordingHost {
  readonly memory: LinearMemory;
  /** See {@linkcode Recorder.wide}. */
  readonly wide: boolean;
  /** See {@linkcode Recorder.constant}. */
  constant(values: Float32Array): Tensor;
  /** Gives an allocation its memory, with whatever was in it before. */
  back(allocation: Allocation, label: string): void;
  /** Takes the memory of an allocation back. */
  release(allocation: Allocation): void;
}

interface Call {
  readonly kernel: Kernel;
  readonly values: readonly (Tensor | number | null)[];
}

const INDEX: ReadonlyMap<Kernel, number> = new Map(CATALOG.map((kernel, index) => [kernel, index]));

/** Collects the calls of a recording while it is being built. */
export class RecordingBuilder implements Recorder {
  readonly #host: RecordingHost;
  readonly #label: string;
  readonly independentRows: boolean;
  readonly #calls: Call[] = [];
  /** Scratch: request `i` of every operation gets slot `i`, which is as large as any needs. */
  readonly #slots: Allocation[] = [];
  #slotsInUse = 0;

  /** Starts an empty recording. */
  constructor(host: RecordingHost, label: string, { independentRows = false }: RecordOptions = {}) {
    this.#host = host;
    this.#label = label;
    this.independentRows = independentRows;
  }

  get wide(): boolean {
    return this.#host.wide;
  }

  constant(values: Float32Array): Tensor {
    return this.#host.constant(values);
  }

  call<P extends Parameters>(kernel: Kernel<P>, values: ValuesOf<P>): void {
    const ordered = Object.keys(kernel.parameters).map((name) => values[name] ?? null);
    this.#calls.push({ kernel: kernel as unknown as Kernel, values: ordered });
  }

  scratch(dtype: DType, shape: readonly number[]): Tensor {
    let slot = this.#slots[this.#slotsInUse];
    if (!slot) {
      slot = { range: null, bytes: 0, freed: false, owner: this.#host };
      this.#slots.push(slot);
    }
    this.#slotsInUse++;
    slot.bytes = Math.max(slot.bytes, 4 * sizeOf(shape));
    return new CpuTensor(slot, 0, dtype, shape, `scratch of ${this.#label}`);
  }

  /** Ends an operation: the next one uses the same scratch memory. */
  endOperation(): void {
    this.#slotsInUse = 0;
  }

  /** Resolves everything; the recording can run from now on. */
  finish(): CpuRecording {
    for (const slot of this.#slots) this.#host.back(slot, `scratch of ${this.#label}`);
    return new CpuRecording(this.#host, this.#label, this.#calls, this.#slots);
  }
}

/** A recording of a {@linkcode CpuDevice}. */
export class CpuRecording implements Recording {
  /** See {@linkcode Recording.label}. */
  readonly label: string;
  /** Kernel calls in one replay. */
  readonly length: number;
  /** The device that made it. */
  readonly host: RecordingHost;
  readonly #scratch: readonly Allocation[];
  readonly #program: Allocation;
  /** Tensors it uses, one per allocation, to notice when one has been freed. */
  readonly #tensors: readonly CpuTensor[];
  #released = false;

  /** Writes the commands of calls whose scratch has its memory. */
  constructor(
    host: RecordingHost,
    label: string,
    calls: readonly Call[],
    scratch: readonly Allocation[],
  ) {
    this.host = host;
    this.label = label;
    this.length = calls.length;
    this.#scratch = scratch;
    const tensors = new Map<Allocation, CpuTensor>();
    for (const { values } of calls) {
      for (const value of values) {
        if (typeof value === "number" || value === null) continue;
        const tensor = cpuTensor(value);
        tensors.set(tensor.allocation, tensor);
      }
    }
    this.#tensors = [...tensors.values()];
    this.#checkAlive();
    const bytes = calls.reduce((sum, call) => sum + commandBytes(call), 0);
    this.#program = { range: null, bytes: Math.max(bytes, 1), freed: false, owner: host };
    host.back(this.#program, `commands of ${label}`);
    const { address } = this.#program.range as Range;
    const view = new DataView(host.memory.memory.buffer, address, bytes);
    let offset = 0;
    for (const call of calls) {
      writeCommand(view, offset, call);
      offset += commandBytes(call);
    }
  }

  /**
   * Where the commands lie.
   *
   * @throws {DeviceError} If the recording was released or one of its tensors freed.
   */
  program(): Range {
    if (this.#released) throw new DeviceError(`The recording "${this.label}" was released`);
    this.#checkAlive();
    const { address } = this.#program.range as Range;
    return { address, bytes: this.length === 0 ? 0 : this.#program.bytes };
  }

  /** Frees scratch and commands. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const slot of this.#scratch) this.host.release(slot);
    this.host.release(this.#program);
  }

  #checkAlive(): void {
    for (const tensor of this.#tensors) {
      const { freed, owner } = tensor.allocation;
      if (owner !== this.host) {
        throw new TypeError(`The tensor "${tensor.label}" belongs to another CPU device`);
      }
      if (freed) {
        throw new DeviceError(
          `The recording "${this.label}" uses the tensor "${tensor.label}", which was freed`,
        );
      }
    }
  }
}

function commandBytes({ values }: Call): number {
  return COMMAND.parameters + PARAMETER_BYTES * values.length;
}

function writeCommand(view: DataView, offset: number, call: Call): void {
  const index = INDEX.get(call.kernel);
  if (index === undefined) throw new Error(`The kernel ${call.kernel.name} is not in the catalog`);
  view.setUint32(offset + COMMAND.kernel, index, true);
  view.setUint32(offset + COMMAND.length, commandBytes(call), true);
  view.setUint32(offset + COMMAND.nextTask, 0, true);
  Object.values(call.kernel.parameters).forEach((kind, position) => {
    const at = offset + COMMAND.parameters + PARAMETER_BYTES * position;
    const value = call.values[position] ?? null;
    if (kind === "tensor") {
      const address = value === null ? 0 : cpuTensor(value as Tensor).address;
      view.setBigUint64(at, BigInt(address), true);
    } else if (kind === "i32") view.setUint32(at, value as number, true);
    else if (kind === "f32") view.setFloat32(at, value as number, true);
    else view.setFloat64(at, value as number, true);
  });
}
