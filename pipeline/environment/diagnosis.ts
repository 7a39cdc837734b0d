/**
 * What this machine offers experiments, and what it lacks.
 *
 * @module
 */

import { cpus } from "node:os";
import { type AdapterReport, probe } from "../../kernels/webgpu/adapter.ts";
import { type CacheFolder, cacheFolders } from "./cache_folders.ts";
import { type CpuReport, examineCpu } from "./cpu_report.ts";
import { examineHub, type HubReport } from "./hub_report.ts";
import { findHardwareGpu } from "./hardware_gpu.ts";
import {
  installLine,
  type OperatingSystem,
  operatingSystem,
  ORACLE_PACKAGES,
  VULKAN_PACKAGES,
} from "./operating_system.ts";
import { findPython, ORACLE_MODULES } from "./oracles.ts";
import { probeAdapter } from "./probe_adapter.ts";
import { DRIVER_VARIABLES, findVulkan, type VulkanInstallation } from "./vulkan.ts";

/** Something that is missing or slower than it need be. */
export interface Finding {
  /** `error`: experiments cannot run. `note`: they can, but something is worth knowing. */
  readonly severity: "error" | "note";
  /** What is wrong. */
  readonly text: string;
  /** A command line that mends it, where there is one. */
  readonly remedy: string | null;
}

/** Everything `deno task doctor` shows. */
export interface Diagnosis {
  /** Whether experiments can run. */
  readonly ready: boolean;
  /** What `--device auto` is, and why. */
  readonly auto: { readonly device: "cpu" | "webgpu"; readonly reason: string };
  /** The CPU device. */
  readonly cpu: CpuReport;
  /** Whether `--device webgpu` can be used. */
  readonly webgpu: boolean;
  /** Null if opening WebGPU took its process down or found nothing. */
  readonly adapter: AdapterReport | null;
  /** Loader, drivers' manifests, GPUs. */
  readonly vulkan: VulkanInstallation;
  /** Version of Debian's package of Mesa's Vulkan drivers, or null. */
  readonly mesaPackage: string | null;
  /** The machine. */
  readonly host: {
    /** "debian bookworm", "darwin". */
    readonly system: string;
    /** Model name of the first processor. */
    readonly processor: string;
    /** Logical processors. */
    readonly cores: number;
    /** Bytes of memory. */
    readonly memoryTotal: number;
    /** Bytes that programs can still get without swapping. */
    readonly memoryAvailable: number;
  };
  /** Versions of the runtime: deno, v8, typescript. */
  readonly runtime: Readonly<Record<"deno" | "v8" | "typescript", string>>;
  /** Caches and their sizes. */
  readonly caches: readonly CacheFolder[];
  /** The Hugging Face Hub: what is asked, and where downloads are kept. */
  readonly hub: HubReport;
  /** The Python that tests compare with, or null. */
  readonly python: string | null;
  /** Errors first. */
  readonly findings: readonly Finding[];
}

/** Examines this machine; takes about a second. */
export async function diagnose(): Promise<Diagnosis> {
  // First in a process of its own: a driver that crashes must not take the report with it.
  const trial = await probeAdapter();
  const adapter = trial.adapter === null ? null : await probe();
  const system = await operatingSystem();
  const memory = Deno.systemMemoryInfo();
  const variables = Deno.env.toObject();
  const { gpu, reason } = await findHardwareGpu();
  const auto = { device: gpu === null ? "cpu" : "webgpu", reason } as const;
  const cpu = await examineCpu();
  const webgpu = adapter !== null && adapter.found && adapter.profile !== null;
  const partial = {
    ready: auto.device === "cpu" ? cpu.problem === null : webgpu,
    auto,
    cpu,
    webgpu,
    adapter,
    vulkan: findVulkan(),
    mesaPackage: await packageVersion("mesa-vulkan-drivers"),
    host: {
      system: [system.id, system.codename].filter(Boolean).join(" "),
      processor: cpus()[0]?.model.trim() ?? "unknown",
      cores: navigator.hardwareConcurrency,
      memoryTotal: memory.total,
      memoryAvailable: memory.available,
    },
    runtime: Deno.version,
    caches: cacheFolders(variables),
    hub: examineHub(variables),
    python: await findPython(),
  };
  return { ...partial, findings: findingsOf(partial, system, trial.problem, variables) };
}

/**
 * What is missing, in the order of importance.
 *
 * @param diagnosis The facts.
 * @param system Where the line that installs something comes from.
 * @param problem How opening WebGPU failed, if it did.
 * @param variables Environment variables.
 */
export function findingsOf(
  diagnosis: Omit<Diagnosis, "findings">,
  system: OperatingSystem,
  problem: string,
  variables: Readonly<Record<string, string>>,
): Finding[] {
  const { adapter, cpu, vulkan, mesaPackage, webgpu } = diagnosis;
  const findings: Finding[] = [];
  const add = (severity: Finding["severity"], text: string, remedy: string | null = null) =>
    findings.push({ severity, text, remedy });
  const linux = Deno.build.os === "linux";
  const chosen = DRIVER_VARIABLES.find((name) => variables[name]);
  if (cpu.problem !== null) add("error", `The CPU device does not compute: ${cpu.problem}`);
  const noWebgpu = (text: string, remedy: string | null) =>
    add("note", `--device webgpu cannot be used: ${text}`, remedy);
  if (!webgpu && linux && vulkan.loaders.length === 0) {
    noWebgpu("the Vulkan loader libvulkan.so.1 is missing", "deno task setup --webgpu");
  } else if (!webgpu && linux && vulkan.drivers.length === 0 && chosen !== undefined) {
    noWebgpu(`${chosen} names no driver: ${variables[chosen]}`, `unset ${chosen}`);
  } else if (!webgpu && linux && vulkan.drivers.length === 0) {
    noWebgpu("no Vulkan driver is installed", "deno task setup --webgpu");
  } else if (!webgpu) {
    const remedy = linux ? installLine(system, VULKAN_PACKAGES) : null;
    noWebgpu(problem || adapter?.errors[0] || "no adapter fits", remedy);
  }
  if (
    (adapter === null || adapter.software) && vulkan.devices.some((path) => /nvidia/.test(path))
  ) {
    add(
      "note",
      "An NVIDIA GPU is there, but its Vulkan driver is not: experiments run on the CPU. Install the " +
        "driver's graphics libraries (libnvidia-gl), or give the container " +
        "NVIDIA_DRIVER_CAPABILITIES=all",
    );
  }
  if (adapter?.software && /^(1\d|2[0-4])\./.test(mesaPackage ?? "")) {
    add("note", `Mesa ${mesaPackage} is old: version 25 runs kernels about twice as fast`);
  }
  for (const error of webgpu ? adapter?.errors ?? [] : []) add("note", error);
  if (diagnosis.hub.problem !== null) {
    add("note", `Models and data on the Hugging Face Hub cannot be used: ${diagnosis.hub.problem}`);
  }
  if (diagnosis.python === null) {
    add(
      "note",
      `No Python here has ${ORACLE_MODULES.join(", ")}: tests that compare with it are skipped`,
      system.apt && system.asRoot !== null
        ? "deno task setup --oracles"
        : installLine(system, ORACLE_PACKAGES),
    );
  }
  return findings;
}

async function packageVersion(name: string): Promise<string | null> {
  try {
    const { success, stdout } = await new Deno.Command("dpkg-query", {
      args: ["-W", "-f", "${Version}", name],
      stderr: "null",
    }).output();
    return success ? new TextDecoder().decode(stdout) || null : null;
  } catch {
    return null;
  }
}
