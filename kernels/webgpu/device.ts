/**
 * The Device contract on WebGPU: memory, copies, recordings, errors.
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
import type { MemoryModel } from "../counting/memory_model.ts";
import { BufferPool } from "./buffer_pool.ts";
import { webgpuMemory } from "./memory_model.ts";
import { createOperations } from "./operations.ts";
import { PipelineCache } from "./pipelines.ts";
import type { Dispatch, KernelContext, Profile, Tuning } from "./program.ts";
import { RecordingBuilder, type RecordingHost, WebgpuRecording } from "./recording.ts";
import {
  type Allocation,
  checkDimensions,
  mebibytes,
  viewOf,
  WebgpuTensor,
  webgpuTensor,
} from "./tensor.ts";

/** Bytes written between submissions: each write takes a staging copy that lives until the next. */
const WRITE_CHUNK = 16 * 2 ** 20;

/** Bytes of free buffers that the device keeps for reuse. */
const IDLE_BYTES = 256 * 2 ** 20;

/** After failures that may pass. */
const TRY_AGAIN =
  "run the same command again; if it fails again, use a smaller batch or update the driver";

/** A WebGPU device; open one with `openWebgpu` of `adapter.ts`. */
export class WebgpuDevice implements Device {
  /** Adapter, driver and limits. */
  readonly info: DeviceInfo;
  /** What generated kernels may rely on. */
  readonly profile: Profile;
  readonly #gpu: GPUDevice;
  readonly #pool: BufferPool;
  readonly #staging: BufferPool;
  readonly #host: RecordingHost;
  readonly #allocations = new Set<Allocation>();
  /** Copies and clears that are not submitted yet. */
  #encoder: GPUCommandEncoder | null = null;
  /** Bytes written since the last submission that was made to free their staging copies. */
  #staged = 0;
  /** Outcomes of error scopes that have not arrived yet. */
  readonly #scopes = new Set<Promise<void>>();
  #errors: string[] = [];
  #lost: string | null = null;
  #closed = false;
  #current = 0;
  #peak = 0;

  /** Takes ownership of `gpu`, which {@linkcode WebgpuDevice.close} destroys. */
  constructor(gpu: GPUDevice, profile: Profile, info: DeviceInfo) {
    this.#gpu = gpu;
    this.profile = profile;
    this.info = info;
    const { maxBufferSize } = gpu.limits;
    const pool = (usage: number) =>
      new BufferPool((size, label) => this.#buffer(size, usage, label), maxBufferSize, IDLE_BYTES);
    this.#pool = pool(
      GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.COPY_DST,
    );
    this.#staging = pool(GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
    this.#host = {
      gpu,
      profile,
      pipelines: new PipelineCache(gpu, (what, scope) => this.#watch(what, scope)),
      back: (allocation, label) => this.#back(allocation, label),
      release: (allocation) => this.#release(allocation),
    };
    gpu.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      // By name: Dawn has classes of its own.
      const isMemory = error.constructor.name === "GPUOutOfMemoryError";
      const what = isMemory ? this.#outOfMemory("during computation") : "WebGPU reported an error";
      this.#errors.push(`${what}: ${error.message}`);
    });
    gpu.lost.then(({ message }) => {
      if (!this.#closed) this.#lost = message;
    });
  }

  /** See {@linkcode Device.tensor}. */
  tensor(dtype: DType, shape: readonly number[], label: string): Tensor {
    const bytes = 4 * sizeOf(shape);
    checkDimensions(shape, label);
    if (bytes > this.info.maxTensorBytes) {
      throw new RangeError(
        `The tensor "${label}" [${shape.join(", ")}] needs ${mebibytes(bytes)}, but ` +
          `${this.info.description} allows ${mebibytes(this.info.maxTensorBytes)} per tensor: ` +
          `use a smaller model or batch, or a device with larger buffers`,
      );
    }
    const allocation: Allocation = { buffer: null, bytes, freed: false, owner: this.#host };
    const reused = this.#back(allocation, label);
    if (reused) this.#commands().clearBuffer(allocation.buffer as GPUBuffer);
    return new WebgpuTensor(allocation, 0, dtype, shape, label);
  }

  /** See {@linkcode Device.view}. */
  view(tensor: Tensor, offset: number, shape: readonly number[], label?: string): Tensor {
    this.#alive(tensor);
    return viewOf(tensor, offset, shape, label);
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
    this.#flush();
    const buffer = target.allocation.buffer as GPUBuffer;
    const chunk = WRITE_CHUNK / 4;
    for (let start = 0; start < data.length; start += chunk) {
      const part = data.subarray(start, start + chunk);
      if (this.#staged + 4 * part.length > WRITE_CHUNK) {
        this.#gpu.queue.submit([]);
        this.#staged = 0;
      }
      this.#staged += 4 * part.length;
      const words = part instanceof Float64Array ? Float32Array.from(part) : part;
      const at = 4 * (target.offset + offset + start);
      this.#gpu.queue.writeBuffer(buffer, at, words as BufferSource);
    }
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
    const start = 4 * (from.offset + sourceOffset);
    const end = 4 * (to.offset + destinationOffset);
    const input = from.allocation.buffer as GPUBuffer;
    const output = to.allocation.buffer as GPUBuffer;
    if (input !== output) {
      this.#commands().copyBufferToBuffer(input, start, output, end, 4 * count);
      return;
    }
    // WebGPU does not copy within one buffer.
    const between: Allocation = { buffer: null, bytes: 4 * count, freed: false, owner: this.#host };
    this.#back(between, "copy within one tensor");
    const middle = between.buffer as GPUBuffer;
    this.#commands().copyBufferToBuffer(input, start, middle, 0, 4 * count);
    this.#commands().copyBufferToBuffer(middle, 0, output, end, 4 * count);
    this.#release(between);
  }

  /** See {@linkcode Device.readFloats}. */
  async readFloats(tensor: Tensor, into?: ArrayBuffer): Promise<Float32Array> {
    if (tensor.dtype !== "f32") throw new TypeError(`"${tensor.label}" does not hold f32`);
    const result = new Float32Array(into ?? new ArrayBuffer(4 * tensor.size), 0, tensor.size);
    await this.#read(tensor, new Uint32Array(result.buffer, 0, tensor.size));
    return result;
  }

  /** See {@linkcode Device.readWords}. */
  async readWords(tensor: Tensor): Promise<Uint32Array> {
    if (tensor.dtype !== "u32") throw new TypeError(`"${tensor.label}" does not hold u32`);
    const result = new Uint32Array(tensor.size);
    await this.#read(tensor, result);
    return result;
  }

  /** See {@linkcode Device.record}. */
  record(
    label: string,
    build: (operations: Operations) => void,
    { independentRows = false }: RecordOptions = {},
  ): Recording {
    this.#open();
    const builder = new RecordingBuilder(this.#host, label, { ...this.profile, independentRows });
    build(createOperations(builder));
    return builder.finish(this.#host);
  }

  /** Records operations with other choices than the device's: to measure them. */
  recordTuned(
    label: string,
    tuning: Tuning,
    build: (operations: Operations) => void,
  ): Recording {
    this.#open();
    const builder = new RecordingBuilder(this.#host, label, { ...this.profile, tuning });
    build(createOperations(builder));
    return builder.finish(this.#host);
  }

  /** Records kernels that are no operation of the contract: for tests and measurements. */
  recordKernels(label: string, build: (context: KernelContext) => readonly Dispatch[]): Recording {
    this.#open();
    const builder = new RecordingBuilder(this.#host, label);
    builder.append(build(builder.context));
    return builder.finish(this.#host);
  }

  /** See {@linkcode Device.run}. */
  run(recording: Recording): void {
    this.#open();
    if (!(recording instanceof WebgpuRecording) || recording.host !== this.#host) {
      throw new TypeError(`The recording "${recording.label}" belongs to another device`);
    }
    this.#flush();
    recording.submit();
  }

  /** See {@linkcode Device.settle}. */
  async settle(): Promise<void> {
    this.#open();
    this.#flush();
    await this.#gpu.queue.onSubmittedWorkDone();
    await this.#throwErrors();
  }

  /** See {@linkcode Device.memory}. */
  memory(): DeviceMemory {
    return { current: this.#current, peak: this.#peak };
  }

  /** How this device uses memory, for counting it without using any. */
  memoryModel(): MemoryModel {
    const { minUniformBufferOffsetAlignment } = this.#gpu.limits;
    return webgpuMemory(this.profile, this.info, minUniformBufferOffsetAlignment);
  }

  /** See {@linkcode Device.close}. */
  close(): void {
    if (this.#closed) return;
    this.#flush();
    this.#closed = true;
    for (const allocation of this.#allocations) allocation.buffer?.destroy();
    this.#allocations.clear();
    this.#current = 0;
    this.#pool.clear();
    this.#staging.clear();
    this.#gpu.destroy();
  }

  /**
   * Copies a tensor to the host. Awaiting a map costs at least 11 ms in Deno 2.9 whatever the size,
   * but concurrent reads share the wait.
   */
  async #read(tensor: Tensor, into: Uint32Array): Promise<void> {
    const source = this.#alive(tensor);
    const bytes = 4 * source.size;
    const { buffer } = this.#staging.acquire(bytes, `read of ${tensor.label}`);
    const input = source.allocation.buffer as GPUBuffer;
    this.#commands().copyBufferToBuffer(input, 4 * source.offset, buffer, 0, bytes);
    this.#flush();
    try {
      await buffer.mapAsync(GPUMapMode.READ, 0, bytes);
      into.set(new Uint32Array(buffer.getMappedRange(0, bytes)));
      buffer.unmap();
    } catch (error) {
      buffer.destroy();
      // What went wrong before, such as the loss of the device, is told after its consequences.
      await this.#gpu.queue.onSubmittedWorkDone().catch(() => {});
      await this.#throwErrors();
      const reason = error instanceof Error ? error.message : String(error);
      throw new DeviceError(`Reading "${tensor.label}" failed (${reason}): ${TRY_AGAIN}`);
    }
    if (this.#closed) buffer.destroy();
    else this.#staging.release(buffer);
    await this.#throwErrors();
  }

  /** Creates a buffer; running out of memory is reported with its name and size. */
  #buffer(size: number, usage: number, label: string): GPUBuffer {
    this.#gpu.pushErrorScope("out-of-memory");
    const buffer = this.#gpu.createBuffer({ label, size, usage });
    this.#watch(
      this.#outOfMemory(`allocating "${label}" (${mebibytes(size)})`),
      this.#gpu.popErrorScope(),
    );
    return buffer;
  }

  #outOfMemory(doing: string): string {
    return `Out of device memory ${doing}, with ${mebibytes(this.#current)} in use; ` +
      "use a smaller model, batch or length";
  }

  /** Gives an allocation a buffer and counts it; tells whether the buffer has been used before. */
  #back(allocation: Allocation, label: string): boolean {
    this.#open();
    const { buffer, reused } = this.#pool.acquire(allocation.bytes, label);
    allocation.buffer = buffer;
    this.#allocations.add(allocation);
    this.#current += allocation.bytes;
    this.#peak = Math.max(this.#peak, this.#current);
    return reused;
  }

  #release(allocation: Allocation): void {
    if (!this.#allocations.delete(allocation)) return;
    this.#flush();
    this.#pool.release(allocation.buffer as GPUBuffer);
    allocation.freed = true;
    this.#current -= allocation.bytes;
  }

  #alive(tensor: Tensor): WebgpuTensor {
    this.#open();
    const found = webgpuTensor(tensor);
    if (found.allocation.owner !== this.#host) {
      throw new TypeError(`The tensor "${tensor.label}" belongs to another WebGPU device`);
    }
    if (found.allocation.freed) throw new DeviceError(`The tensor "${tensor.label}" was freed`);
    return found;
  }

  #open(): void {
    if (this.#closed) throw new DeviceError("The WebGPU device was closed");
  }

  #commands(): GPUCommandEncoder {
    this.#encoder ??= this.#gpu.createCommandEncoder({ label: "copies" });
    return this.#encoder;
  }

  #flush(): void {
    if (!this.#encoder) return;
    this.#gpu.queue.submit([this.#encoder.finish()]);
    this.#encoder = null;
  }

  /** Remembers the error of a scope, once it arrives, as `what: message`. */
  #watch(what: string, scope: Promise<GPUError | null>): void {
    const outcome = scope.then((error) => {
      if (error) this.#errors.push(`${what}: ${error.message}`);
    }).finally(() => this.#scopes.delete(outcome));
    this.#scopes.add(outcome);
  }

  async #throwErrors(): Promise<void> {
    await Promise.all(this.#scopes);
    if (this.#lost !== null) {
      throw new DeviceError(
        `The WebGPU device was lost (${this.#lost}): ${TRY_AGAIN}`,
      );
    }
    if (this.#errors.length === 0) return;
    const [first, ...others] = this.#errors;
    this.#errors = [];
    const rest = others.length > 0 ? ` (and ${others.length} more errors that follow from it)` : "";
    throw new DeviceError(`${first}${rest}`);
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
