/**
 * How the devices of `--device` use memory.
 *
 * @module
 */

import type { MemoryModel } from "../../kernels/counting/memory_model.ts";
import type { DeviceName } from "./devices.ts";

/**
 * The memory of a device by its name. Starts no threads; WebGPU is opened for a moment, because its
 * kernels and their scratch depend on the adapter.
 *
 * @throws {DeviceError} If WebGPU has no adapter.
 */
export async function memoryModelOf(name: Exclude<DeviceName, "auto">): Promise<MemoryModel> {
  switch (name) {
    case "cpu": {
      const { cpuInfo } = await import("../../kernels/cpu/info.ts");
      const { cpuMemory } = await import("../../kernels/cpu/memory_model.ts");
      return cpuMemory(cpuInfo());
    }
    case "reference": {
      const { plainMemory } = await import("../../kernels/counting/memory_model.ts");
      return plainMemory("reference", 2 ** 32, 8);
    }
    case "webgpu":
    case "webgpu:dawn": {
      const { openDevice } = await import("./devices.ts");
      const { WebgpuDevice } = await import("../../kernels/webgpu/device.ts");
      const device = await openDevice(name);
      if (!(device instanceof WebgpuDevice)) throw new TypeError(`${name} is not a WebGPU device`);
      const model = device.memoryModel();
      device.close();
      return model;
    }
  }
}
