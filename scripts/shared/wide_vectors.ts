/**
 * Commands that compute in their own process: V8 takes its flags only when a process starts.
 *
 * @module
 */

import { usesWideVectors } from "../../kernels/cpu/wide_vectors.ts";
import { wideVectorVariables } from "../../pipeline/environment/cpu_settings.ts";
import { chooseDevice, type DeviceName } from "../../pipeline/executors/devices.ts";

/**
 * Runs this command again in a process with wide vectors, where the device is the CPU and this
 * process was started without them.
 *
 * @param permissions Flags of `deno run` that the command needs.
 * @returns Its exit status; null where this process is as good as any.
 */
export async function runWithWideVectors(
  device: DeviceName,
  permissions: readonly string[],
): Promise<number | null> {
  if (usesWideVectors() || (await chooseDevice(device)).name !== "cpu") return null;
  const variables = await wideVectorVariables();
  if (Object.keys(variables).length === 0) return null;
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--no-prompt", ...permissions, Deno.mainModule, ...Deno.args],
    env: variables,
  }).spawn();
  // Ctrl-C reaches both processes, but a supervisor ends only the one that it started.
  const end = () => child.kill("SIGTERM");
  Deno.addSignalListener("SIGTERM", end);
  const { code } = await child.status;
  Deno.removeSignalListener("SIGTERM", end);
  return code;
}
