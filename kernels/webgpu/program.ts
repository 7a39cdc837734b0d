/**
 * What one operation compiles to on WebGPU: a list of dispatches, each a complete WGSL module with
 * its bindings. Operations are pure functions `(context, args) => Dispatch[]`, one file per family;
 * the runtime in `device.ts` compiles each distinct module once, creates bind groups once, and
 * replays.
 *
 * @module
 */

import type { DType, Tensor } from "../device.ts";

/** What generated code may rely on; chosen once per adapter, see `adapter.ts`. */
export interface Profile {
  /**
   * `gpu`: hardware with subgroups; `generic`: hardware without; `software`: lavapipe and llvmpipe,
   * where kernels avoid shared memory and barriers and put one subgroup in each workgroup.
   */
  readonly class: "gpu" | "generic" | "software";
  /** Lanes of a subgroup, 0 where subgroups cannot be used. */
  readonly subgroupSize: number;
  /** First lines of every module ("enable subgroups;" where the implementation needs it). */
  readonly preamble: string;
  /** Shared memory of a workgroup. */
  readonly maxWorkgroupStorageBytes: number;
  /** Lanes of a workgroup. */
  readonly maxWorkgroupInvocations: number;
  /** Workgroups of a dispatch in x, y and z. */
  readonly maxWorkgroupsPerDimension: number;
  /** Bytes that one binding reaches, a multiple of 256; tensors may be larger (see `shards.ts`). */
  readonly maxBindingBytes: number;
  /** Storage buffers of a dispatch; without it the 8 that every WebGPU device has. */
  readonly maxStorageBuffers?: number;
  /** Choices measured on this device; without them those of `tuning.ts` for its class hold. */
  readonly tuning?: Tuning;
  /** See `RecordOptions` in `device.ts`: no choice may depend on the number of rows. */
  readonly independentRows?: boolean;
}

/** The numbers in kernels that are a choice; `tuning.ts` makes it. */
export interface Tuning {
  /** Rows of a tile in `lane_product.ts`, for products with more than eight. */
  readonly laneRows: 8 | 16;
  /** Column vectors of a lane in `lane_product.ts`, where the format leaves the choice. */
  readonly laneVectors: 1 | 2;
  /** Side of the tiles of large products in `shared_product.ts`. */
  readonly tileSide: 64 | 128;
  /** Places of the reduction in a tile of `shared_product.ts`. */
  readonly tileDepth: 8 | 16;
  /** Invocations at most that share the columns of a workgroup in `vector_product.ts`. */
  readonly vectorLanes: 64 | 128 | 256;
  /** Products with fewer workgroups have their reductions cut into slices. */
  readonly workgroups: 16 | 32 | 128 | 256;
}

/** A storage buffer of a dispatch. */
export interface Binding {
  /** What is bound. */
  readonly tensor: Tensor;
  /** How the module declares it. */
  readonly access: "read" | "read_write";
}

/** A number in the uniform block of a dispatch. */
export interface Uniform {
  /** Type in the struct. */
  readonly type: "u32" | "f32";
  /** Fixed when the recording is made. */
  readonly value: number;
}

/** One compute dispatch. */
export interface Dispatch {
  /** For timing tables and error messages: "linear integer4 software". */
  readonly label: string;
  /**
   * A WGSL module with entry point `main`. Binding `i` of group 0 is `bindings[i]`; if there are
   * `uniforms`, the binding after the last storage buffer is a uniform struct with these fields in
   * order (all 4 bytes wide).
   */
  readonly code: string;
  /** Storage buffers, in the order of their bindings. */
  readonly bindings: readonly Binding[];
  /** Fields of the uniform struct, in order. */
  readonly uniforms?: readonly Uniform[];
  /** Workgroups to start. */
  readonly workgroups: readonly [x: number, y: number, z: number];
}

/** Passed to every operation. */
export interface KernelContext {
  /** What the generated code may rely on. */
  readonly profile: Profile;
  /**
   * Memory that lives as long as the recording. Contents survive only until the next operation's
   * dispatches: the runtime hands the same memory to the next operation.
   */
  scratch(dtype: DType, shape: readonly number[]): Tensor;
}
