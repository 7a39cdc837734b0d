/**
 * Devices by the name that `--device` takes.
 *
 * @module
 */

import type { Device } from "../../kernels/device.ts";
import { UserError } from "../errors.ts";

/** A value of `--device`. */
export type DeviceName = "auto" | "webgpu" | "cpu" | "reference";

/** All values of `--device`. */
export const DEVICE_NAMES: readonly DeviceName[] = ["auto", "webgpu", "cpu", "reference"];

/**
 * Opens a device. `auto` is WebGPU; `reference` is the float64 implementation, for checking results
 * on tiny models. Only the code of the chosen device is loaded.
 *
 * @throws {UserError} If the device is not part of this version.
 * @throws {DeviceError} If there is no adapter; the message says how to get one.
 */
export async function openDevice(name: DeviceName): Promise<Device> {
  switch (name) {
    case "auto":
    case "webgpu": {
      const { ensureAdapter } = await import("../environment/ensure_adapter.ts");
      await ensureAdapter();
      const { openWebgpu } = await import("../../kernels/webgpu/adapter.ts");
      return await openWebgpu();
    }
    case "reference": {
      const { ReferenceDevice } = await import("../../kernels/reference/device.ts");
      return new ReferenceDevice();
    }
    case "cpu":
      throw new UserError(
        "The cpu device is not available in this version: use --device webgpu, which runs on a CPU through Mesa's software driver",
      );
  }
}
