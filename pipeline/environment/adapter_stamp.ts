/**
 * A note that WebGPU worked on this system as it stands, so that later commands need not try again.
 *
 * @module
 */

import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type AdapterFound, isAdapterFound } from "./probe_adapter.ts";
import { DRIVER_VARIABLES, findVulkan } from "./vulkan.ts";

/** The note itself. */
export interface AdapterStamp {
  /** From {@linkcode systemFingerprint} at the time WebGPU worked. */
  readonly fingerprint: string;
  /** What worked. */
  readonly adapter: AdapterFound;
}

/** Root of this repository. */
export const ROOT: string = fileURLToPath(new URL("../../", import.meta.url));

/** Where the note lies; deleting it costs one more probe. */
const STAMP_FILE: string = resolve(ROOT, ".cache/webgpu.json");

/**
 * Everything a change of which may make WebGPU stop (or start) working: Deno, the Vulkan loader and
 * drivers with their sizes and times, the GPUs, and the variables that choose among them.
 */
export function systemFingerprint(): string {
  const variables = ["DENO_WEBGPU_BACKEND", ...DRIVER_VARIABLES].map((variable) => {
    const { state } = Deno.permissions.querySync({ name: "env", variable });
    return state === "granted" ? Deno.env.get(variable) ?? null : null;
  });
  return JSON.stringify([Deno.version.deno, Deno.build.target, findVulkan(), variables]);
}

/** The note, if there is one and nothing of its fingerprint has changed since. */
export function readStamp(
  path: string = STAMP_FILE,
  fingerprint: string = systemFingerprint(),
): AdapterStamp | null {
  try {
    const stamp: unknown = JSON.parse(Deno.readTextFileSync(path));
    return isStamp(stamp) && stamp.fingerprint === fingerprint ? stamp : null;
  } catch {
    return null;
  }
}

/** Notes that `adapter` works, where the note can be written. */
export function writeStamp(
  adapter: AdapterFound,
  path: string = STAMP_FILE,
  fingerprint: string = systemFingerprint(),
): void {
  const stamp: AdapterStamp = { fingerprint, adapter };
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeTextFileSync(path, JSON.stringify(stamp));
  } catch {
    // No permission, a read-only or a full disk: the next command probes again.
  }
}

function isStamp(value: unknown): value is AdapterStamp {
  return typeof value === "object" && value !== null && "fingerprint" in value &&
    typeof value.fingerprint === "string" && "adapter" in value &&
    isAdapterFound(value.adapter);
}
