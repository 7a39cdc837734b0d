/**
 * Whether this machine has a GPU that WebGPU can use. Nothing is installed or changed to find out.
 *
 * @module
 */

import { readStamp, writeStamp } from "./adapter_stamp.ts";
import { type AdapterProbe, probeAdapter } from "./probe_adapter.ts";
import { findVulkan, type VulkanInstallation } from "./vulkan.ts";

/** Outcome of {@linkcode findHardwareGpu}. */
export interface GpuSearch {
  /** "NVIDIA H200", or null. */
  readonly gpu: string | null;
  /** What was found, as a clause: "WebGPU finds no GPU here". */
  readonly reason: string;
}

/**
 * Looks for a GPU. On Linux a machine without the device node of a GPU needs no further look; else a
 * child process tries WebGPU, so that a missing library or a driver that crashes harms nobody. What
 * worked once is noted until the system changes: then this takes about a millisecond.
 */
export async function findHardwareGpu(): Promise<GpuSearch> {
  const vulkan = findVulkan();
  if (Deno.build.os === "linux" && vulkan.devices.length === 0) {
    return { gpu: null, reason: "this machine has no GPU" };
  }
  const stamp = readStamp();
  const probe = stamp === null ? await tryAdapter() : { adapter: stamp.adapter, problem: "" };
  if (stamp === null && probe.adapter !== null) writeStamp(probe.adapter);
  return judgeProbe(probe, vulkan);
}

/** What the outcome of a trial says about GPUs. */
export function judgeProbe(
  { adapter, problem }: AdapterProbe,
  { devices }: Pick<VulkanInstallation, "devices">,
): GpuSearch {
  if (adapter !== null && !adapter.software) {
    return { gpu: adapter.name, reason: `WebGPU finds the GPU ${adapter.name}` };
  }
  const found = devices.length === 0 ? "" : `${devices[0]} is there, but `;
  if (adapter !== null) {
    return { gpu: null, reason: `${found}WebGPU finds only the software renderer ${adapter.name}` };
  }
  const why = problem === "" ? "" : ` (${problem})`;
  return { gpu: null, reason: `${found}WebGPU finds no GPU${why}` };
}

/** A process that may not start another one cannot look without risk. */
async function tryAdapter(): Promise<AdapterProbe> {
  try {
    return await probeAdapter();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotCapable)) throw error;
    return { adapter: null, problem: "there is no permission to run Deno, which would look" };
  }
}
