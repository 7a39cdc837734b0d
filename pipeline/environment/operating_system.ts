/**
 * Which system this is, as far as installing packages is concerned.
 *
 * @module
 */

import { readTextOrNull, statOrNull } from "../formats/files.ts";

/** The system and what this process may do to it. */
export interface OperatingSystem {
  /** `ID` of os-release ("debian", "ubuntu", "fedora"), or "darwin" or "windows". */
  readonly id: string;
  /** Systems that it derives from, nearest first (`ID_LIKE`). */
  readonly like: readonly string[];
  /** "bookworm", or the empty string. */
  readonly codename: string;
  /** Whether `apt-get` exists. */
  readonly apt: boolean;
  /** What to put before a command to run it as root: nothing, sudo, or null if that is not possible. */
  readonly asRoot: readonly string[] | null;
}

/** Families of systems that share a package manager. */
export type SystemFamily = "debian" | "fedora" | "suse" | "arch";

/** What a set of packages is called in each family of systems. */
export type PackageNames = Readonly<Record<SystemFamily, readonly string[]>>;

/** The Vulkan loader and Mesa's drivers, the software one (lavapipe) among them. */
export const VULKAN_PACKAGES: PackageNames = {
  debian: ["libvulkan1", "mesa-vulkan-drivers"],
  fedora: ["vulkan-loader", "mesa-vulkan-drivers"],
  suse: ["libvulkan1", "libvulkan_lvp"],
  arch: ["vulkan-icd-loader", "vulkan-swrast"],
};

/** Programs that tests compare this project with. */
export const ORACLE_PACKAGES: PackageNames = {
  debian: ["python3-torch", "python3-numpy", "python3-scipy", "python3-sentencepiece"],
  fedora: ["python3-torch", "python3-numpy", "python3-scipy", "python3-sentencepiece"],
  suse: ["python3-torch", "python3-numpy", "python3-scipy", "python3-sentencepiece"],
  arch: ["python-pytorch", "python-numpy", "python-scipy", "python-sentencepiece"],
};

const INSTALL_COMMANDS: Readonly<Record<SystemFamily, string>> = {
  debian: "apt-get update && sudo apt-get install -y",
  fedora: "dnf install -y",
  suse: "zypper install -y",
  arch: "pacman -S --needed",
};

/** Asks the system; needs permission to read `/etc/os-release` and to run `sudo`. */
export async function operatingSystem(): Promise<OperatingSystem> {
  if (Deno.build.os !== "linux") {
    return { id: Deno.build.os, like: [], codename: "", apt: false, asRoot: null };
  }
  return {
    ...parseOsRelease(readTextOrNull("/etc/os-release") ?? ""),
    apt: statOrNull("/usr/bin/apt-get") !== null,
    asRoot: Deno.uid() === 0 ? [] : await sudoWorks() ? ["sudo", "-n"] : null,
  };
}

/** Reads the shell-like assignments of os-release(5). */
export function parseOsRelease(text: string): Pick<OperatingSystem, "id" | "like" | "codename"> {
  const values = Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=["']?(.*?)["']?\s*$/gm)].map(([, name, value]) => [name, value]),
  );
  return {
    id: values["ID"] ?? "linux",
    like: (values["ID_LIKE"] ?? "").split(" ").filter((word: string) => word !== ""),
    codename: values["VERSION_CODENAME"] ?? "",
  };
}

/** The line that installs `packages`, for a person to run; null where no package manager is known. */
export function installLine(
  system: Pick<OperatingSystem, "id" | "like" | "asRoot">,
  packages: PackageNames,
): string | null {
  const names: Readonly<Record<string, SystemFamily>> = {
    debian: "debian",
    ubuntu: "debian",
    fedora: "fedora",
    rhel: "fedora",
    centos: "fedora",
    suse: "suse",
    opensuse: "suse",
    arch: "arch",
  };
  const family = [system.id, ...system.like].map((id) => names[id]).find((name) => name);
  if (family === undefined) return null;
  const line = `sudo ${INSTALL_COMMANDS[family]} ${packages[family].join(" ")}`;
  return system.asRoot?.length === 0 ? line.replaceAll("sudo ", "") : line;
}

async function sudoWorks(): Promise<boolean> {
  try {
    return (await new Deno.Command("sudo", { args: ["-n", "true"], stdin: "null" }).output())
      .success;
  } catch {
    return false;
  }
}
