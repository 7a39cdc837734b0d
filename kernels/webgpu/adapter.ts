/**
 * Finding a WebGPU adapter, what it can really do, and which kernels suit it.
 *
 * @module
 */

import { DeviceError } from "../device.ts";
import { roundDown } from "./buffer_pool.ts";
import { WebgpuDevice } from "./device.ts";
import { BUILT_IN, type WebgpuImplementation } from "./implementation.ts";
import type { Profile, Tuning } from "./program.ts";
import { isSoftwareAdapter, MESA_SOFTWARE } from "./software_adapter.ts";
import { tuningName } from "./tuning.ts";
import { readTuning, tuningKey } from "./tuning_file.ts";
import { proveSubgroups, type SubgroupProof } from "./subgroups.ts";

/** Limits that kernels and buffers depend on; the device is asked for all that the adapter has. */
const LIMITS = [
  "maxBufferSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxUniformBufferBindingSize",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
  "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
] as const;

/** Features that Deno does not list although `requestDevice` grants them; each is tried alone. */
const CANDIDATE_FEATURES = ["subgroups", "shader-f16", "timestamp-query"] as const;

/** How to choose kernels: by the adapter, or forced (to test one class on another's hardware). */
export interface WebgpuOptions {
  /** Class of kernels; default "auto", which the adapter decides. */
  readonly profile?: Profile["class"] | "auto";
  /** Bytes that one binding may reach, if fewer than the adapter allows (to test sharding). */
  readonly maxBindingBytes?: number;
  /** Whose WebGPU; default Deno's. */
  readonly implementation?: WebgpuImplementation;
  /** Choices to compute with instead of the static ones of the class. */
  readonly tuning?: Tuning;
  /** A file that may have choices measured on this device (see `tuning_file.ts`). */
  readonly tuningFile?: string;
}

/** What {@linkcode probe} finds. */
export interface AdapterReport {
  /** False if there is no adapter; the other fields are then empty. */
  readonly found: boolean;
  /** PCI vendor id in decimal: "4318" is NVIDIA, "65541" Mesa's software renderers. */
  readonly vendor: string;
  /** "NVIDIA H200", "llvmpipe (LLVM 15.0.6, 256 bits)". */
  readonly description: string;
  /** Version of the driver where the system tells it, else empty. */
  readonly driver: string;
  /** Whether the adapter is a CPU. */
  readonly software: boolean;
  /** What the adapter says it has. */
  readonly featuresListed: readonly string[];
  /** Features that a device was created with; for "subgroups", that also computed correctly. */
  readonly featuresUsable: readonly string[];
  /** What buffers and kernels depend on, in WebGPU's names. */
  readonly limits: Readonly<Record<string, number>>;
  /** Lanes of a subgroup, 0 where subgroups cannot be used. */
  readonly subgroupSize: number;
  /** Class of kernels that "auto" chooses; null without a device. */
  readonly profile: Profile["class"] | null;
  /** What went wrong while probing, one sentence each. */
  readonly errors: readonly string[];
}

/**
 * Opens the system's preferred WebGPU adapter.
 *
 * @throws {DeviceError} If there is no adapter, no device, or the forced profile needs subgroups
 *   that the adapter lacks. The message says what to run.
 *
 * @example
 * ```ts
 * import { openWebgpu } from "./adapter.ts";
 *
 * const device = await openWebgpu();
 * const tensor = device.tensor("f32", [4], "example");
 * device.write(tensor, Float32Array.of(1, 2, 3, 4));
 * console.log(device.info.description, await device.readFloats(tensor));
 * device.close();
 * ```
 */
export async function openWebgpu(options: WebgpuOptions = {}): Promise<WebgpuDevice> {
  const { implementation = BUILT_IN } = options;
  const adapter = await implementation.requestAdapter();
  if (!adapter) throw new DeviceError(implementation.noAdapter);
  const { device, proof } = await openDevice(implementation, adapter);
  const wanted = options.profile ?? "auto";
  const chosen = wanted === "auto" ? suitableClass(adapter, proof) : wanted;
  if (chosen === "gpu" && proof.size === 0) {
    device.destroy();
    throw new DeviceError(
      `The profile "gpu" needs subgroups, which ${adapter.info.description} lacks ` +
        `(${proof.problem}); use "auto" or "generic"`,
    );
  }
  const granted = profileOf(chosen, device.limits, proof, implementation);
  const maxBindingBytes = roundDown(options.maxBindingBytes ?? granted.maxBindingBytes);
  const untuned = { ...granted, maxBindingBytes };
  const driver = driverVersion(adapter.info.vendor);
  const description = adapter.info.description || `vendor ${adapter.info.vendor}`;
  const untunedClass = ["webgpu", untuned.class, description, driver, implementation.name]
    .filter((part) => part !== "").join("; ");
  const tuning = options.tuning ?? savedTuning(options.tuningFile, untunedClass, untuned);
  const profile = tuning ? { ...untuned, tuning } : untuned;
  return new WebgpuDevice(device, profile, {
    name: "webgpu",
    // Other tiles add in another order, which gives other bits.
    class: tuning ? `${untunedClass}; tuned ${tuningName(tuning)}` : untunedClass,
    description,
    maxTensorBytes: roundDown(device.limits.maxBufferSize),
  });
}

function savedTuning(
  file: string | undefined,
  deviceClass: string,
  profile: Profile,
): Tuning | null {
  if (file === undefined) return null;
  const key = () => tuningKey(deviceClass, profile);
  return readTuning(file, key, profile, (message) => console.error(message));
}

/** Reports what the adapter is and can do, without throwing: for `deno task doctor`. */
export async function probe(): Promise<AdapterReport> {
  const errors: string[] = [];
  const adapter = await BUILT_IN.requestAdapter();
  if (!adapter) return { ...NO_ADAPTER, errors: [BUILT_IN.noAdapter] };
  const usable: string[] = [];
  let proof: SubgroupProof = { size: 0, problem: "no device" };
  let profile: Profile["class"] | null = null;
  try {
    const opened = await openDevice(BUILT_IN, adapter);
    proof = opened.proof;
    profile = suitableClass(adapter, proof);
    opened.device.destroy();
    if (proof.size > 0) usable.push("subgroups");
    else errors.push(`Subgroups cannot be used: ${proof.problem}`);
  } catch (error) {
    errors.push(messageOf(error));
  }
  for (const feature of CANDIDATE_FEATURES) {
    if (feature !== "subgroups" && await grants(feature)) usable.push(feature);
  }
  return {
    found: true,
    vendor: adapter.info.vendor,
    description: adapter.info.description,
    driver: driverVersion(adapter.info.vendor),
    software: isSoftwareAdapter(adapter.info),
    featuresListed: [...adapter.features].sort(),
    featuresUsable: usable,
    limits: Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]])),
    subgroupSize: proof.size,
    profile,
    errors,
  };
}

const NO_ADAPTER: AdapterReport = {
  found: false,
  vendor: "",
  description: "",
  driver: "",
  software: false,
  featuresListed: [],
  featuresUsable: [],
  limits: {},
  subgroupSize: 0,
  profile: null,
  errors: [],
};

async function openDevice(
  implementation: WebgpuImplementation,
  adapter: GPUAdapter,
): Promise<{ device: GPUDevice; proof: SubgroupProof }> {
  const requiredLimits = Object.fromEntries(LIMITS.map((name) => [name, adapter.limits[name]]));
  const { subgroupMinSize, subgroupMaxSize } = adapter.info;
  let problem = "the adapter does not offer them";
  try {
    const device = await adapter.requestDevice({ requiredFeatures: ["subgroups"], requiredLimits });
    const proof = subgroupMinSize === subgroupMaxSize
      ? await proveSubgroups(device, subgroupMaxSize, implementation.subgroupPreamble)
      : { size: 0, problem: `their size varies from ${subgroupMinSize} to ${subgroupMaxSize}` };
    return { device, proof };
  } catch (error) {
    problem = messageOf(error);
  }
  try {
    // A refused request uses its adapter up, so that the second request needs a fresh one.
    const fresh = await implementation.requestAdapter() ?? adapter;
    return { device: await fresh.requestDevice({ requiredLimits }), proof: { size: 0, problem } };
  } catch (error) {
    throw new DeviceError(
      `The adapter ${adapter.info.description} gave no device: ${messageOf(error)}. ` +
        `Run \`deno task doctor\` to see its limits`,
    );
  }
}

async function grants(feature: GPUFeatureName): Promise<boolean> {
  try {
    const adapter = await BUILT_IN.requestAdapter();
    const device = await adapter?.requestDevice({ requiredFeatures: [feature] });
    device?.destroy();
    return device !== undefined;
  } catch {
    return false;
  }
}

function suitableClass(adapter: GPUAdapter, proof: SubgroupProof): Profile["class"] {
  if (isSoftwareAdapter(adapter.info)) return "software";
  return proof.size > 0 ? "gpu" : "generic";
}

function profileOf(
  chosen: Profile["class"],
  limits: GPUSupportedLimits,
  proof: SubgroupProof,
  { subgroupPreamble }: WebgpuImplementation,
): Profile {
  return {
    class: chosen,
    subgroupSize: chosen === "generic" ? 0 : proof.size,
    preamble: chosen === "generic" ? "" : subgroupPreamble,
    maxWorkgroupStorageBytes: limits.maxComputeWorkgroupStorageSize,
    maxWorkgroupInvocations: limits.maxComputeInvocationsPerWorkgroup,
    maxWorkgroupsPerDimension: limits.maxComputeWorkgroupsPerDimension,
    maxBindingBytes: roundDown(limits.maxStorageBufferBindingSize),
    maxStorageBuffers: limits.maxStorageBuffersPerShaderStage,
  };
}

/** NVIDIA's name in Deno, which gives PCI ids, and in Dawn. */
const NVIDIA: readonly string[] = ["4318", "nvidia"];

/**
 * The driver's version where the system shows it: NVIDIA's in `/proc`, Mesa's as the Vulkan version
 * its driver manifest names. WebGPU itself does not tell.
 */
function driverVersion(vendor: string): string {
  const nvidia = NVIDIA.includes(vendor);
  const [path, pattern] = nvidia
    ? ["/proc/driver/nvidia/version", /Kernel Module[^0-9]*([\d.]+)/] as const
    : ["/usr/share/vulkan/icd.d/lvp_icd.json", /"api_version"\s*:\s*"([\d.]+)"/] as const;
  if (!nvidia && vendor !== MESA_SOFTWARE) return "";
  try {
    if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return "";
    return pattern.exec(Deno.readTextFileSync(path))?.[1] ?? "";
  } catch {
    return "";
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
