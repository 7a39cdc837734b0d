/**
 * `deno task bench --tune`: choosing kernels for this machine by measuring them.
 *
 * @module
 */

import { dirname } from "node:path";
import { autotune } from "../../kernels/bench/autotune.ts";
import { WebgpuDevice } from "../../kernels/webgpu/device.ts";
import { tuningName } from "../../kernels/webgpu/tuning.ts";
import { tuningKey, writeTuning } from "../../kernels/webgpu/tuning_file.ts";
import { UserError } from "../errors.ts";
import { type DeviceName, openDevice, TUNING_FILE } from "../executors/devices.ts";

/**
 * Measures the alternatives on a device and keeps the fastest in {@linkcode TUNING_FILE}, where
 * {@linkcode openDevice} finds them.
 *
 * @throws {UserError} If the device is not WebGPU: the others have nothing to choose.
 */
export async function tuneDevice(
  name: DeviceName,
  report: (line: string) => void,
): Promise<void> {
  const device = await openDevice(name);
  try {
    if (!(device instanceof WebgpuDevice)) {
      throw new UserError(
        `Only WebGPU kernels are tuned, but ${name} is ${device.info.description} ` +
          `(${device.info.name}): use --device webgpu`,
      );
    }
    report(device.info.description);
    const tuning = await autotune(device, (family, option, seconds) => {
      report(`  ${family}: ${JSON.stringify(option)} ${(1000 * seconds).toFixed(3)} ms`);
    });
    const { tuning: _, ...untuned } = device.profile;
    const untunedClass = device.info.class.replace(/; tuned .*$/, "");
    await Deno.mkdir(dirname(TUNING_FILE), { recursive: true });
    writeTuning(TUNING_FILE, tuningKey(untunedClass, untuned), tuning, report);
    report(`Chosen: ${tuningName(tuning)}, kept in ${TUNING_FILE}; delete it to compute as before`);
  } finally {
    device.close();
  }
}
