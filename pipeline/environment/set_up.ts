/**
 * Bringing a machine to the point where WebGPU works.
 *
 * @module
 */

import { readStamp, writeStamp } from "./adapter_stamp.ts";
import { installPackages } from "./install_packages.ts";
import {
  installLine,
  type OperatingSystem,
  operatingSystem,
  ORACLE_PACKAGES,
  type PackageNames,
  VULKAN_PACKAGES,
} from "./operating_system.ts";
import { findPython, ORACLE_MODULES } from "./oracles.ts";
import { type AdapterProbe, probeAdapter } from "./probe_adapter.ts";

/** Packages whose backports are worth having, by release: lavapipe 25 is twice as fast as 22.3. */
const BETTER_BACKPORTS: Readonly<Record<string, readonly string[]>> = {
  bookworm: ["mesa-vulkan-drivers"],
};

/** Shows one line to the person who waits. */
export type Report = (line: string) => void;

/**
 * Sees to it that WebGPU has an adapter: does nothing where one works, and otherwise installs the
 * Vulkan loader and Mesa's drivers where that is possible without asking.
 *
 * @returns The adapter's name; null if there is none, after saying why and what to do.
 */
export async function setUpAdapter(report: Report): Promise<string | null> {
  const stamp = readStamp();
  if (stamp !== null) return stamp.adapter.name;
  let probe = await probeAdapter();
  if (probe.adapter === null) {
    const system = await operatingSystem();
    const installed = await installOrExplain(system, VULKAN_PACKAGES, report, {
      name: "Vulkan drivers",
      missing: "WebGPU finds no adapter here",
    });
    if (!installed) return null;
    probe = await probeAdapter();
    if (probe.adapter === null) {
      report(stillNoAdapter(probe));
      return null;
    }
  }
  writeStamp(probe.adapter);
  return probe.adapter.name;
}

/** Installs what tests compare with, or says how; returns the Python that has it, or null. */
export async function setUpOracles(report: Report): Promise<string | null> {
  const python = await findPython();
  if (python !== null) return python;
  const installed = await installOrExplain(await operatingSystem(), ORACLE_PACKAGES, report, {
    name: "test oracles",
    missing: `No Python here has ${
      ORACLE_MODULES.join(", ")
    }; tests that compare with it are skipped`,
  });
  return installed ? await findPython() : null;
}

async function installOrExplain(
  system: OperatingSystem,
  packages: PackageNames,
  report: Report,
  words: { readonly name: string; readonly missing: string },
): Promise<boolean> {
  const line = installLine(system, packages);
  if (!system.apt || system.asRoot === null) {
    report(
      line === null
        ? `${words.missing}: install ${packages.debian.join(", ")} or what ${system.id} calls them`
        : `${words.missing}: run ${line}`,
    );
    return false;
  }
  report(`Installing ${words.name} (${packages.debian.join(", ")}) with apt-get ...`);
  const { release, problems } = await installPackages(packages.debian, {
    codename: system.codename,
    asRoot: system.asRoot,
    fromBackports: (BETTER_BACKPORTS[system.codename] ?? [])
      .filter((name) => packages.debian.includes(name)),
  });
  problems.forEach(report);
  if (release === null) report(`${words.missing}: mend what apt-get says, then run ${line}`);
  else report(`Installed ${words.name} from ${release}`);
  return release !== null;
}

function stillNoAdapter({ problem }: AdapterProbe): string {
  const reason = problem === "" ? "" : ` (${problem})`;
  return `Vulkan drivers are installed, but WebGPU still finds no adapter${reason}: ` +
    "`deno task doctor` lists the drivers";
}
