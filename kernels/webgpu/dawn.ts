/**
 * Dawn, Chromium's WebGPU, from the npm package `webgpu`. It is optional and large (132 MB), so it is
 * no import of this project: an import would be installed with all others. It lives in a folder of
 * its own, which `deno task setup --dawn` fills.
 *
 * @module
 */

import { fileURLToPath, pathToFileURL } from "node:url";
import { resolve } from "node:path";
import { DeviceError } from "../device.ts";
import type { WebgpuImplementation } from "./implementation.ts";

/** The version that the kernels are tested with. */
export const DAWN_VERSION = "0.6.2";

/** The folder with its `node_modules`. */
export const DAWN_FOLDER: string = fileURLToPath(new URL("../../.cache/dawn", import.meta.url));

/** What is used of the package. */
interface DawnPackage {
  create(options: readonly string[]): GPU;
}

/** Whether the package is installed in that version; needs permission to read `folder`. */
export function hasDawn(folder: string = DAWN_FOLDER, version: string = DAWN_VERSION): boolean {
  try {
    const description: unknown = JSON.parse(
      Deno.readTextFileSync(resolve(folder, "node_modules", "webgpu", "package.json")),
    );
    return (description as { version?: unknown }).version === version;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Loads Dawn. The process needs the permissions to read `folder`, to load native code from it
 * (`--allow-ffi`), and to read environment variables.
 *
 * @throws {DeviceError} If the package is missing or does not load; the message says how to add it.
 */
export async function loadDawn(folder: string = DAWN_FOLDER): Promise<WebgpuImplementation> {
  if (!hasDawn(folder)) {
    throw new DeviceError(
      `The device webgpu:dawn needs the npm package webgpu ${DAWN_VERSION}, which is not ` +
        "installed: run `deno task setup --dawn`",
    );
  }
  const gpu = await createDawn(folder);
  return {
    name: `dawn ${DAWN_VERSION}`,
    // Some kernels call subgroup functions where only the dispatch's uniforms make control flow
    // uniform, which Dawn's analysis cannot see.
    subgroupPreamble: "enable subgroups;\ndiagnostic(off, subgroup_uniformity);\n",
    noAdapter:
      "Dawn finds no adapter: run `deno task doctor`, which lists the drivers it could use",
    requestAdapter: () => gpu.requestAdapter({ powerPreference: "high-performance" }),
  };
}

/** Instances by folder. Adapters and devices do not keep theirs alive, and crash once it is gone. */
const instances = new Map<string, GPU>();

async function createDawn(folder: string): Promise<GPU> {
  const known = instances.get(folder);
  if (known) return known;
  try {
    const { create } = await import(
      pathToFileURL(resolve(folder, "node_modules", "webgpu", "index.js")).href
    ) as DawnPackage;
    const gpu = create([]);
    instances.set(folder, gpu);
    return gpu;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new DeviceError(
      `The npm package webgpu in ${folder} does not load (${reason.split("\n")[0]}): run ` +
        `Deno with --allow-ffi, or delete that folder and run \`deno task setup --dawn\``,
    );
  }
}
