/**
 * Recordings: dispatches with pipelines, bind groups and uniforms resolved once, then encoded again
 * for every replay (WebGPU has no reusable command buffers for compute).
 *
 * @module
 */

import { DeviceError, type DType, type Recording, sizeOf, type Tensor } from "../device.ts";
import { packUniforms, type PipelineCache } from "./pipelines.ts";
import type { Dispatch, KernelContext, Profile } from "./program.ts";
import { fits } from "./shards.ts";
import { type Allocation, boundBytes, mebibytes, WebgpuTensor, webgpuTensor } from "./tensor.ts";

/** Dispatches per submission: the device starts on the first while later ones are encoded. */
const DISPATCHES_PER_SUBMIT = 256;

/** What a recording needs of its device. */
export interface RecordingHost {
  /** Where to submit. */
  readonly gpu: GPUDevice;
  /** What kernels may rely on. */
  readonly profile: Profile;
  /** Compiled kernels, shared by all recordings. */
  readonly pipelines: PipelineCache;
  /** Gives an allocation its buffer, with whatever was in it before. */
  back(allocation: Allocation, label: string): void;
  /** Takes the buffer of an allocation back. */
  release(allocation: Allocation): void;
}

/** Collects the dispatches of a recording while it is being built. */
export class RecordingBuilder {
  /** Handed to the kernels. */
  readonly context: KernelContext;
  readonly #owner: { readonly profile: Profile };
  readonly #label: string;
  readonly #dispatches: Dispatch[] = [];
  /** Scratch: request `i` of every operation gets slot `i`, which is as large as any needs. */
  readonly #slots: Allocation[] = [];
  #slotsInUse = 0;

  /** Starts an empty recording for tensors of `owner`, with kernels for `profile`. */
  constructor(
    owner: { readonly profile: Profile },
    label: string,
    profile: Profile = owner.profile,
  ) {
    this.#owner = owner;
    this.#label = label;
    this.context = {
      profile,
      scratch: (dtype, shape) => this.#scratch(dtype, shape),
    };
  }

  /**
   * Appends one operation.
   *
   * @throws {RangeError} If it needs more workgroups than the device allows, or a larger binding.
   */
  append(dispatches: readonly Dispatch[]): void {
    for (const dispatch of dispatches) {
      checkLimits(this.context.profile, dispatch);
      this.#dispatches.push(dispatch);
    }
    this.#slotsInUse = 0;
  }

  /**
   * Resolves everything; the recording can run from now on. `host` is the owner of the tensors.
   */
  finish(host: RecordingHost): WebgpuRecording {
    for (const slot of this.#slots) host.back(slot, `scratch of ${this.#label}`);
    return new WebgpuRecording(host, this.#label, this.#dispatches, this.#slots);
  }

  /** Bytes of scratch and uniforms that the finished recording will hold. */
  bytes(uniformAlignment: number): number {
    return this.#slots.reduce(
      (sum, { bytes }) => sum + bytes,
      uniformOffsets(this.#dispatches, uniformAlignment).bytes,
    );
  }

  #scratch(dtype: DType, shape: readonly number[]): Tensor {
    let slot = this.#slots[this.#slotsInUse];
    if (!slot) {
      slot = { buffer: null, bytes: 0, freed: false, owner: this.#owner };
      this.#slots.push(slot);
    }
    this.#slotsInUse++;
    slot.bytes = Math.max(slot.bytes, 4 * sizeOf(shape));
    return new WebgpuTensor(slot, 0, dtype, shape, `scratch of ${this.#label}`);
  }
}

function checkLimits(profile: Profile, { label, bindings, workgroups }: Dispatch): void {
  const { maxWorkgroupsPerDimension, maxBindingBytes } = profile;
  if (workgroups.some((count) => count > maxWorkgroupsPerDimension)) {
    throw new RangeError(
      `The kernel "${label}" needs ${workgroups.join(" x ")} workgroups; ` +
        `this device allows ${maxWorkgroupsPerDimension} per dimension`,
    );
  }
  for (const { tensor } of bindings) {
    if (fits(profile, tensor)) continue;
    throw new RangeError(
      `The kernel "${label}" reads or writes "${tensor.label}" [${
        tensor.shape.join(", ")
      }] whole, ` +
        `but this device binds ${
          mebibytes(maxBindingBytes)
        } at once: use a smaller batch or length`,
    );
  }
}

/** One dispatch, ready to encode. */
interface Step {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: Dispatch["workgroups"];
}

/** A recording of a {@linkcode WebgpuDevice}. */
export class WebgpuRecording implements Recording {
  /** See {@linkcode Recording.label}. */
  readonly label: string;
  /** Dispatches in one replay. */
  readonly length: number;
  /** The device that made it. */
  readonly host: RecordingHost;
  readonly #steps: readonly Step[];
  readonly #scratch: readonly Allocation[];
  readonly #uniforms: Allocation | null;
  /** Tensors it uses, one per allocation, to notice when one has been freed. */
  readonly #tensors: readonly WebgpuTensor[];
  #released = false;

  /** Resolves dispatches whose scratch has its buffers. */
  constructor(
    host: RecordingHost,
    label: string,
    dispatches: readonly Dispatch[],
    scratch: readonly Allocation[],
  ) {
    this.host = host;
    this.label = label;
    this.length = dispatches.length;
    this.#scratch = scratch;
    const tensors = new Map<Allocation, WebgpuTensor>();
    for (const dispatch of dispatches) {
      for (const binding of dispatch.bindings) {
        const tensor = webgpuTensor(binding.tensor);
        tensors.set(tensor.allocation, tensor);
      }
    }
    this.#tensors = [...tensors.values()];
    this.#checkAlive();
    const { allocation, offsets } = packRecordingUniforms(host, label, dispatches);
    this.#uniforms = allocation;
    this.#steps = dispatches.map((dispatch, index) =>
      prepare(host, dispatch, allocation?.buffer ?? null, offsets[index] ?? 0)
    );
  }

  /**
   * Submits one replay: one compute pass per {@linkcode DISPATCHES_PER_SUBMIT} dispatches.
   *
   * @throws {DeviceError} If the recording was released or one of its tensors freed.
   */
  submit(): void {
    if (this.#released) throw new DeviceError(`The recording "${this.label}" was released`);
    this.#checkAlive();
    const { gpu } = this.host;
    for (let start = 0; start < this.#steps.length; start += DISPATCHES_PER_SUBMIT) {
      const encoder = gpu.createCommandEncoder({ label: this.label });
      const pass = encoder.beginComputePass({ label: this.label });
      let current: GPUComputePipeline | null = null;
      for (const step of this.#steps.slice(start, start + DISPATCHES_PER_SUBMIT)) {
        if (step.pipeline !== current) {
          pass.setPipeline(step.pipeline);
          current = step.pipeline;
        }
        pass.setBindGroup(0, step.bindGroup);
        pass.dispatchWorkgroups(...step.workgroups);
      }
      pass.end();
      gpu.queue.submit([encoder.finish()]);
    }
  }

  /** Frees scratch and uniforms. */
  release(): void {
    if (this.#released) return;
    this.#released = true;
    for (const slot of this.#scratch) this.host.release(slot);
    if (this.#uniforms) this.host.release(this.#uniforms);
  }

  #checkAlive(): void {
    for (const tensor of this.#tensors) {
      const { freed, owner } = tensor.allocation;
      if (owner !== this.host) {
        throw new TypeError(`The tensor "${tensor.label}" belongs to another WebGPU device`);
      }
      if (freed) {
        throw new DeviceError(
          `The recording "${this.label}" uses the tensor "${tensor.label}", which was freed`,
        );
      }
    }
  }
}

/** Puts the uniform blocks of all dispatches into one buffer, each at an offset it can be bound at. */
function packRecordingUniforms(
  host: RecordingHost,
  label: string,
  dispatches: readonly Dispatch[],
): { allocation: Allocation | null; offsets: readonly number[] } {
  const { minUniformBufferOffsetAlignment } = host.gpu.limits;
  const { offsets, bytes } = uniformOffsets(dispatches, minUniformBufferOffsetAlignment);
  if (bytes === 0) return { allocation: null, offsets };
  const data = new Uint8Array(bytes);
  dispatches.forEach(({ uniforms }, index) => {
    if (uniforms?.length) data.set(new Uint8Array(packUniforms(uniforms)), offsets[index]);
  });
  const allocation: Allocation = { buffer: null, bytes, freed: false, owner: host };
  host.back(allocation, `uniforms of ${label}`);
  if (allocation.buffer) host.gpu.queue.writeBuffer(allocation.buffer, 0, data);
  return { allocation, offsets };
}

function uniformOffsets(
  dispatches: readonly Dispatch[],
  alignment: number,
): { offsets: readonly number[]; bytes: number } {
  const offsets: number[] = [];
  let bytes = 0;
  for (const { uniforms } of dispatches) {
    offsets.push(bytes);
    bytes += Math.ceil(uniformBytes(uniforms) / alignment) * alignment;
  }
  return { offsets, bytes };
}

/** Uniform blocks are bound in multiples of 16 bytes. */
function uniformBytes(uniforms: Dispatch["uniforms"]): number {
  return uniforms ? Math.ceil(4 * uniforms.length / 16) * 16 : 0;
}

function prepare(
  host: RecordingHost,
  dispatch: Dispatch,
  uniforms: GPUBuffer | null,
  uniformOffset: number,
): Step {
  const { pipeline, layout } = host.pipelines.get(dispatch);
  const entries: GPUBindGroupEntry[] = dispatch.bindings.map(({ tensor }, binding) => {
    const { allocation, offset } = webgpuTensor(tensor);
    const buffer = allocation.buffer as GPUBuffer;
    return { binding, resource: { buffer, offset: 4 * offset, size: boundBytes(tensor) } };
  });
  if (uniforms && dispatch.uniforms?.length) {
    entries.push({
      binding: entries.length,
      resource: {
        buffer: uniforms,
        offset: uniformOffset,
        size: uniformBytes(dispatch.uniforms),
      },
    });
  }
  const bindGroup = host.gpu.createBindGroup({ label: dispatch.label, layout, entries });
  return { pipeline, bindGroup, workgroups: dispatch.workgroups };
}
