/**
 * What a Linux system offers a Vulkan program: the loader, the drivers' manifests, the GPUs.
 *
 * @module
 */

/** A file with what changes when somebody installs another version of it. */
export interface SystemFile {
  /** Absolute. */
  readonly path: string;
  /** Bytes. */
  readonly size: number;
  /** Milliseconds since 1970. */
  readonly modified: number;
}

/** The parts of a Vulkan installation. All lists are sorted by path and empty off Linux. */
export interface VulkanInstallation {
  /** `libvulkan.so.1`, which WebGPU opens first; without it there is no adapter at all. */
  readonly loaders: readonly SystemFile[];
  /** JSON manifests of installable client drivers (ICDs), one per driver. */
  readonly drivers: readonly SystemFile[];
  /** Device nodes of GPUs: `/dev/nvidia0`, `/dev/dri/renderD128`. */
  readonly devices: readonly string[];
}

/** Where the loader looks for manifests (Vulkan-Loader, "Linux Driver Discovery"). */
const DRIVER_FOLDERS = [
  "/etc/vulkan/icd.d",
  "/usr/local/etc/vulkan/icd.d",
  "/usr/local/share/vulkan/icd.d",
  "/usr/share/vulkan/icd.d",
];

const LIBRARY_FOLDERS = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
  "/usr/local/lib",
];

/** Variables that redirect the loader to other manifests, the newer name first. */
export const DRIVER_VARIABLES = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;

/**
 * Lists the Vulkan installation of this machine. Unreadable folders count as empty.
 *
 * @param root Folder that stands for `/`; tests pass one of their own.
 * @param environment Environment variables; {@linkcode DRIVER_VARIABLES} and `HOME` are read.
 */
export function findVulkan(
  root: string = "",
  environment: Readonly<Record<string, string | undefined>> = environmentOf(),
): VulkanInstallation {
  if (Deno.build.os !== "linux") return { loaders: [], drivers: [], devices: [] };
  const named = DRIVER_VARIABLES.map((name) => environment[name]).find((value) => value);
  const folders = [...DRIVER_FOLDERS];
  if (environment["HOME"]) folders.push(`${environment["HOME"]}/.local/share/vulkan/icd.d`);
  const manifests = named
    ? named.split(":").filter((path) => path !== "").map((path) => root + path)
    : folders.flatMap((folder) => list(root + folder)).filter((path) => path.endsWith(".json"));
  return {
    loaders: describe(LIBRARY_FOLDERS.map((folder) => `${root}${folder}/libvulkan.so.1`)),
    drivers: describe(manifests),
    devices: [
      ...list(`${root}/dev`).filter((path) => /\/nvidia\d+$/.test(path)),
      ...list(`${root}/dev/dri`).filter((path) => /\/renderD\d+$/.test(path)),
    ].sort(),
  };
}

function environmentOf(): Record<string, string | undefined> {
  return Object.fromEntries([...DRIVER_VARIABLES, "HOME"].map((name) => [name, read(name)]));
}

function read(variable: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : undefined;
}

function list(folder: string): string[] {
  try {
    return [...Deno.readDirSync(folder)].map((entry) => `${folder}/${entry.name}`);
  } catch {
    return [];
  }
}

function describe(paths: readonly string[]): SystemFile[] {
  return [...paths].sort().flatMap((path) => {
    try {
      const { size, mtime } = Deno.statSync(path);
      return [{ path, size, modified: mtime?.getTime() ?? 0 }];
    } catch {
      return [];
    }
  });
}
