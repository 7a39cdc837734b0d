/**
 * Devices by the name that `--device` takes.
 *
 * @module
 */

import { fileURLToPath } from "node:url";
import type { Device, DeviceInfo } from "../../kernels/device.ts";

/** What `deno task bench --tune` measured on this machine, if it was run. */
export const TUNING_FILE: string = fileURLToPath(
  new URL("../../.cache/tuning.json", import.meta.url),
);

/** A value of `--device`. */
export type DeviceName = "auto" | "webgpu" | "webgpu:dawn" | "cpu" | "reference";

/** All values of `--device`. */
export const DEVICE_NAMES: readonly DeviceName[] = [
  "auto",
  "webgpu",
  "webgpu:dawn",
  "cpu",
  "reference",
];

/** A device that is decided on. */
export interface DeviceChoice {
  /** Which it is. */
  readonly name: Exclude<DeviceName, "auto">;
  /** Why, as a clause: "this machine has no GPU", "it was asked for". */
  readonly reason: string;
}

/** How a device is set up. */
export interface DeviceOptions {
  /** Threads of the CPU device; default: the processors that this process may use. */
  readonly threads?: number;
}

/**
 * Decides what `auto` is: a hardware GPU if there is one, else the CPU device. A software renderer
 * is used only when `webgpu` is asked for. Asks nothing of the system and installs nothing.
 */
export async function chooseDevice(name: DeviceName): Promise<DeviceChoice> {
  if (name !== "auto") return { name, reason: "it was asked for" };
  const { findHardwareGpu } = await import("../environment/hardware_gpu.ts");
  const { gpu, reason } = await findHardwareGpu();
  return { name: gpu === null ? "cpu" : "webgpu", reason };
}

/**
 * Opens a device; `reference` is the float64 implementation, for checking results on tiny models.
 * Only the code of the chosen device is loaded.
 *
 * @throws {DeviceError} If there is no adapter; the message says how to get one.
 */
export async function openDevice(name: DeviceName, options: DeviceOptions = {}): Promise<Device> {
  const choice = await chooseDevice(name);
  switch (choice.name) {
    case "webgpu": {
      const { ensureAdapter } = await import("../environment/ensure_adapter.ts");
      await ensureAdapter();
      const { openWebgpu } = await import("../../kernels/webgpu/adapter.ts");
      return await openWebgpu({ tuningFile: TUNING_FILE });
    }
    case "webgpu:dawn": {
      const { loadDawn } = await import("../../kernels/webgpu/dawn.ts");
      const implementation = await loadDawn();
      const { openWebgpu } = await import("../../kernels/webgpu/adapter.ts");
      return await openWebgpu({ implementation, tuningFile: TUNING_FILE });
    }
    case "cpu": {
      const { openCpu } = await import("../../kernels/cpu/device.ts");
      return await openCpu(options);
    }
    case "reference": {
      const { ReferenceDevice } = await import("../../kernels/reference/device.ts");
      return new ReferenceDevice();
    }
  }
}

/** What {@linkcode openDevice} would open; starts no threads. @throws As {@linkcode openDevice}. */
export async function deviceInfo(
  name: DeviceName,
  options: DeviceOptions = {},
): Promise<DeviceInfo> {
  const choice = await chooseDevice(name);
  if (choice.name === "cpu") {
    const { cpuInfo } = await import("../../kernels/cpu/info.ts");
    return cpuInfo(options);
  }
  const device = await openDevice(choice.name, options);
  device.close();
  return device.info;
}
