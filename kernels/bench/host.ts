/**
 * Whether the host goes on while a device works.
 *
 * @module
 */

import type { Device } from "../device.ts";
import { WebgpuDevice } from "../webgpu/device.ts";

/**
 * True where queueing returns at once, so that its time is the host's own. The reference device
 * computes while it queues, and a software driver makes the second submission wait for the first.
 */
export function queuesAhead(device: Device): boolean {
  if (device instanceof WebgpuDevice) return device.profile.class !== "software";
  return device.info.name !== "reference";
}
