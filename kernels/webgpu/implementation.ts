/**
 * Which WebGPU computes: the one built into Deno, or one that is injected, such as Dawn.
 *
 * @module
 */

/** A WebGPU and what its users have to know about it. */
export interface WebgpuImplementation {
  /** Part of a device's class: results of one implementation are not those of another. */
  readonly name: string;
  /** First lines of every module that uses subgroups. */
  readonly subgroupPreamble: string;
  /** What to do where it finds no adapter, in one sentence. */
  readonly noAdapter: string;
  /** The preferred adapter. */
  requestAdapter(): Promise<GPUAdapter | null>;
}

/** What to do where WebGPU finds no adapter. */
export const SETUP_HINT: string =
  "No WebGPU adapter was found: run `deno task setup --webgpu`, which installs a Vulkan driver or prints " +
  "the line that does";

/** Deno's own WebGPU (wgpu). */
export const BUILT_IN: WebgpuImplementation = {
  // wgpu and naga, which translate the kernels, change with Deno's minor version.
  name: `deno ${Deno.version.deno.replace(/\.\d+$/, "")}`,
  // naga rejects the directive `enable subgroups;` and accepts the functions without it.
  subgroupPreamble: "",
  noAdapter: SETUP_HINT,
  requestAdapter,
};

/**
 * The preferred adapter, through Vulkan unless the user chose otherwise: with all backends allowed,
 * a machine without a Vulkan driver silently falls back to OpenGL on the CPU.
 */
async function requestAdapter(): Promise<GPUAdapter | null> {
  const variable = "DENO_WEBGPU_BACKEND";
  const permission = Deno.permissions.querySync({ name: "env", variable });
  if (permission.state === "granted" && !Deno.env.has(variable) && Deno.build.os === "linux") {
    Deno.env.set(variable, "vulkan");
  }
  if (!("gpu" in navigator)) return null;
  return await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
}
