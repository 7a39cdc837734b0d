/**
 * The Device contract in WebAssembly: SIMD128 and relaxed SIMD on as many threads as there are
 * processors, with no driver. Results do not depend on the number of threads.
 *
 * @module
 */

import {
  type Device,
  DeviceError,
  type DeviceInfo,
  type DeviceMemory,
  type DType,
  type Operations,
  type Recording,
  type RecordOptions,
  sizeOf,
  type Tensor,
} from "../device.ts";
import { compileKernels } from "./compile.ts";
import { copyKernel } from "./elementwise.ts";
import { cpuInfo, type CpuOptions } from "./info.ts";
import { THREAD_SCRATCH_BYTES } from "./kernel.ts";
import { LinearMemory, MAX_MEMORY_BYTES, type Range } from "./memory.ts";
import { createOperations } from "./operations.ts";
import { CpuRecording, RecordingBuilder, type RecordingHost } from "./recording.ts";
import { type Allocation, checkDimensions, CpuTensor, cpuTensor, viewOf } from "./tensor.ts";
import { BARRIER } from "./thread_queue.ts";
import { Threads } from "./threads.ts";
import { usesWideVectors } from "./wide_vectors.ts";

/**
 * Opens the CPU device.
 *
 * @throws {DeviceError} If its threads do not start.
 */
export async function openCpu(options: CpuOptions = {}): Promise<CpuDevice> {
  const { threads = navigator.hardwareConcurrency, memoryBytes = MAX_MEMORY_BYTES } = options;
  const memory = new LinearMemory(memoryBytes);
  const barrier = memory.allocate(BARRIER.bytes, "barrier", true);
  const scratch = Array.from(
    { length: threads },
    (_, thread) => memory.allocate(THREAD_SCRATCH_BYTES, `scratch of thread ${thread}`, false),
  );
  const pool = await Threads.start({
    module: await compileKernels(),
    memory: memory.memory,
    barrier: barrier.address,
    scratch: scratch.map(({ address }) => address),
  });
  return new CpuDevice(memory, pool, cpuInfo({ threads, memoryBytes }));
}

/** A CPU device; open one with {@linkcode openCpu}. */
export class CpuDevice implements Device {
  /** Threads and limits. */
  readonly info: DeviceInfo;
  readonly #memory: LinearMemory;
  readonly #threads: Threads;
  readonly #host: RecordingHost;
  readonly #allocations = new Set<Allocation>();
  /** Tables that kernels read; they stay. */
  readonly #constants = new Map<Float32Array, Tensor>();
  /** Ranges that queued work may still use: free once `job` jobs are done. */
  #retired: { range: Range; job: number }[] = [];
  #closed = false;
  #current = 0;
  #peak = 0;

  /** Takes ownership of `threads`, which {@linkcode CpuDevice.close} ends. */
  constructor(memory: LinearMemory, pool: Threads, info: DeviceInfo) {
    this.#memory = memory;
    this.#threads = pool;
    this.info = info;
    this.#host = {
      memory,
      wide: usesWideVectors(),
      constant: (values) => this.#constant(values),
      back: (allocation, label) => this.#back(allocation, label, false),
      release: (allocation) => this.#release(allocation),
    };
  }

  /** See {@linkcode Device.tensor}. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    this.#open();
    checkDimensions(shape, label);
    const bytes = 4 * sizeOf(shape);
    if (bytes > this.info.maxTensorBytes) {
      throw new RangeError(
        `The tensor "${label}" [${shape.join(", ")}] needs ${gibibytes(bytes)}, but the CPU ` +
          `device has ${gibibytes(this.info.maxTensorBytes)}: use a smaller model or batch`,
      );
    }
    const allocation: Allocation = { range: null, bytes, freed: false, owner: this.#host };
    this.#back(allocation, label, true);
    return new CpuTensor(allocation, 0, dtype, [...shape], label);
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    return viewOf(this.#alive(tensor), offset, shape, label);
  }

  /** See {@linkcode Device.free}. */
  free(tensor: Tensor): void {
    const whole = this.#alive(tensor);
    if (whole.isView) throw new TypeError(`Cannot free "${tensor.label}": it is a view`);
    this.#release(whole.allocation);
  }

  /** See {@linkcode Device.write}. */
  write(tensor: Tensor, data: Float32Array | Float64Array | Uint32Array, offset = 0): void {
    const target = this.#alive(tensor);
    if ((target.dtype === "u32") !== (data instanceof Uint32Array)) {
      throw new TypeError(
        `Cannot write ${data.constructor.name} to "${tensor.label}": it holds ${target.dtype}`,
      );
    }
    inside(tensor, offset, data.length);
    if (data.length === 0) return;
    if (this.#idle()) {
      this.#elements(target.dtype, target.address + 4 * offset, data.length).set(data);
      return;
    }
    const staged = this.tensor(target.dtype, [data.length], `data for ${tensor.label}`);
    this.#elements(target.dtype, cpuTensor(staged).address, data.length).set(data);
    this.copy(staged, 0, tensor, offset, data.length);
    this.free(staged);
  }

  /** See {@linkcode Device.copy}. */
  copy(
    source: Tensor,
    sourceOffset: number,
    destination: Tensor,
    destinationOffset: number,
    count: number,
  ): void {
    const from = this.#alive(source);
    const to = this.#alive(destination);
    inside(source, sourceOffset, count);
    inside(destination, destinationOffset, count);
    if (count === 0) return;
    const part = (whole: CpuTensor, offset: number) =>
      new CpuTensor(whole.allocation, whole.offset + offset, whole.dtype, [count], whole.label);
    const builder = new RecordingBuilder(this.#host, `copy to ${destination.label}`);
    const input = part(from, sourceOffset);
    const output = part(to, destinationOffset);
    if (from.allocation === to.allocation && Math.abs(input.offset - output.offset) < count) {
      // Threads copy parts in any order; where the ranges overlap, that needs memory in between.
      const between = builder.scratch(from.dtype, [count]);
      builder.call(copyKernel, { input, output: between, size: count });
      builder.call(copyKernel, { input: between, output, size: count });
    } else builder.call(copyKernel, { input, output, size: count });
    const recording = builder.finish();
    this.#threads.submit(recording.program());
    recording.release();
  }

  /** See {@linkcode Device.readFloats}. */
  async readFloats(tensor: Tensor, into?: ArrayBuffer): Promise<Float32Array> {
    if (tensor.dtype !== "f32") throw new TypeError(`"${tensor.label}" does not hold f32`);
    const result = into && new Float32Array(into, 0, tensor.size);
    const values = (await this.#read(tensor)) as Float32Array;
    if (result === undefined) return values.slice();
    result.set(values);
    return result;
  }

  /** See {@linkcode Device.readWords}. */
  async readWords(tensor: Tensor): Promise<Uint32Array> {
    if (tensor.dtype !== "u32") throw new TypeError(`"${tensor.label}" does not hold u32`);
    return (await this.#read(tensor)).slice() as Uint32Array;
  }

  /** See {@linkcode Device.record}. */
  record(
    label: string,
    build: (operations: Operations) => void,
    options?: RecordOptions,
  ): Recording {
    this.#open();
    const builder = new RecordingBuilder(this.#host, label, options);
    build(createOperations(builder));
    return builder.finish();
  }

  /** See {@linkcode Device.run}. */
  run(recording: Recording): void {
    this.#open();
    if (!(recording instanceof CpuRecording) || recording.host !== this.#host) {
      throw new TypeError(`The recording "${recording.label}" belongs to another device`);
    }
    const program = recording.program();
    if (program.bytes > 0) this.#threads.submit(program);
  }

  /** See {@linkcode Device.settle}. */
  async settle(): Promise<void> {
    this.#open();
    await this.#threads.settle();
  }

  /** See {@linkcode Device.memory}. */
  memory(): DeviceMemory {
    return { current: this.#current, peak: this.#peak };
  }

  /** See {@linkcode Device.close}. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#threads.close();
    this.#allocations.clear();
    this.#current = 0;
  }

  /** Waits for queued work and gives the tensor's own memory, to be copied at once. */
  async #read(tensor: Tensor): Promise<Float32Array | Uint32Array> {
    const source = this.#alive(tensor);
    await this.#threads.settle();
    return this.#elements(source.dtype, source.address, source.size);
  }

  #elements(dtype: DType, address: number, length: number): Float32Array | Uint32Array {
    return dtype === "f32"
      ? this.#memory.floats(address, length)
      : this.#memory.words(address, length);
  }

  #constant(values: Float32Array): Tensor {
    const known = this.#constants.get(values);
    if (known !== undefined) return known;
    const tensor = this.tensor("f32", [values.length], "constant");
    this.write(tensor, values);
    this.#constants.set(values, tensor);
    return tensor;
  }

  #idle(): boolean {
    return this.#threads.done === this.#threads.submitted;
  }

  #back(allocation: Allocation, label: string, clear: boolean): void {
    this.#open();
    this.#reclaim();
    allocation.range = this.#memory.allocate(allocation.bytes, label, clear);
    this.#allocations.add(allocation);
    this.#current += allocation.bytes;
    this.#peak = Math.max(this.#peak, this.#current);
  }

  #release(allocation: Allocation): void {
    if (!this.#allocations.delete(allocation)) return;
    this.#retired.push({ range: allocation.range as Range, job: this.#threads.submitted });
    allocation.freed = true;
    this.#current -= allocation.bytes;
  }

  /** Gives ranges back that no queued job can reach any more. */
  #reclaim(): void {
    const { done } = this.#threads;
    for (const { range, job } of this.#retired) if (job <= done) this.#memory.release(range);
    this.#retired = this.#retired.filter(({ job }) => job > done);
  }

  #alive(tensor: Tensor): CpuTensor {
    this.#open();
    const found = cpuTensor(tensor);
    if (found.allocation.owner !== this.#host) {
      throw new TypeError(`The tensor "${tensor.label}" belongs to another CPU device`);
    }
    if (found.allocation.freed) throw new DeviceError(`The tensor "${tensor.label}" was freed`);
    return found;
  }

  #open(): void {
    if (this.#closed) throw new DeviceError("The CPU device was closed");
  }
}

function inside(tensor: Tensor, offset: number, count: number): void {
  if (!Number.isInteger(offset) || offset < 0 || count < 0 || offset + count > tensor.size) {
    throw new RangeError(
      `Elements ${offset} to ${offset + count} are not in "${tensor.label}", ` +
        `which has ${tensor.size}`,
    );
  }
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
