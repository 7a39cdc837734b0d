/**
 * What WebGPU holds, without a GPU: operations are compiled to their dispatches as always, so that
 * scratch and uniforms are those of the real recording.
 *
 * @module
 */

import type { MemoryModel } from "../counting/memory_model.ts";
import { type DeviceInfo, sizeOf } from "../device.ts";
import { createOperations } from "./operations.ts";
import type { Profile } from "./program.ts";
import { RecordingBuilder } from "./recording.ts";
import { checkDimensions, viewOf, WebgpuTensor } from "./tensor.ts";

/**
 * Memory of a device with this profile; `info` is that of the device, or one that resembles it, and
 * `uniformAlignment` the bytes between the uniform blocks of dispatches, at most 256.
 */
export function webgpuMemory(
  profile: Profile,
  info: DeviceInfo,
  uniformAlignment = 256,
): MemoryModel {
  const owner = { profile };
  return {
    info,
    inHostMemory: profile.class === "software",
    memoryBytes: null,
    tensor: (dtype, shape, label) => {
      checkDimensions(shape, label);
      const allocation = { buffer: null, bytes: 4 * sizeOf(shape), freed: false, owner };
      return new WebgpuTensor(allocation, 0, dtype, shape, label);
    },
    view: viewOf,
    tensorBytes: ({ size }) => 4 * size,
    recorder: ({ independentRows = false } = {}) => {
      const label = "a counted recording";
      const builder = new RecordingBuilder(owner, label, { ...profile, independentRows });
      return {
        operations: createOperations(builder),
        bytes: () => builder.bytes(uniformAlignment),
      };
    },
  };
}
