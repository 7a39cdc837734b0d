/**
 * A diagnosis as people read it.
 *
 * @module
 */

import { styleText } from "node:util";
import type { CpuReport } from "./cpu_report.ts";
import type { Diagnosis, Finding } from "./diagnosis.ts";
import type { HubReport } from "./hub_report.ts";

/** Limits worth a line, with the unit they are shown in. */
const LIMITS: readonly (readonly [name: string, title: string, unit: "bytes" | "count"])[] = [
  ["maxBufferSize", "largest tensor", "bytes"],
  ["maxStorageBufferBindingSize", "largest binding", "bytes"],
  ["maxComputeWorkgroupStorageSize", "workgroup memory", "bytes"],
  ["maxComputeInvocationsPerWorkgroup", "workgroup size", "count"],
  ["maxStorageBuffersPerShaderStage", "buffers per kernel", "count"],
];

const TITLE_WIDTH = 20;

/**
 * Renders a diagnosis.
 *
 * @param diagnosis What to render.
 * @param colours Whether to use terminal colours.
 */
export function renderDiagnosis(diagnosis: Diagnosis, colours: boolean): string {
  const bold = (text: string) => style("bold", text, colours);
  const { auto, host, runtime, caches, python, findings, ready } = diagnosis;
  const sections: readonly (readonly [string, readonly (readonly [string, string])[]])[] = [
    ["CPU device", cpuLines(diagnosis.cpu)],
    ["WebGPU", adapterLines(diagnosis)],
    ["Machine", [
      ["system", host.system],
      ["processor", `${host.processor}, ${host.cores} cores`],
      ["memory", `${bytes(host.memoryTotal)}, ${bytes(host.memoryAvailable)} available`],
      ["deno", `${runtime.deno} (V8 ${runtime.v8}, TypeScript ${runtime.typescript})`],
    ]],
    [
      "Caches",
      caches.flatMap(({ purpose, path, bytes: size }) =>
        size ? [[purpose, `${bytes(size).padStart(10)}  ${path}`] as const] : []
      ),
    ],
    ["Hugging Face Hub", hubLines(diagnosis.hub)],
    ["Tests", [[
      "oracles",
      python === null ? "none" : `PyTorch, NumPy, SciPy, SentencePiece in ${python}`,
    ]]],
  ];
  const width = Math.max(
    TITLE_WIDTH,
    ...sections.flatMap(([, lines]) => lines.map(([title]) => title.length + 2)),
  );
  const body = sections.map(([title, lines]) =>
    [bold(title), ...lines.map(([name, value]) => `  ${name.padEnd(width)}${value}`)].join("\n")
  );
  const problems = findings.map((finding) => renderFinding(finding, colours));
  const verdict = ready
    ? style("green", `Experiments run on ${auto.device}, because ${auto.reason}.`, colours)
    : style("red", "Experiments cannot run on this machine.", colours);
  return [...body, ...(problems.length > 0 ? [problems.join("\n")] : []), verdict].join("\n\n");
}

/** Bytes in the largest binary unit that leaves a number above one: "128 MiB". */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  // 1 GiB less a few bytes is "1 GiB" to people.
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits).replace(/\.0$/, "")} ${units[unit]}`;
}

function cpuLines(cpu: CpuReport): [string, string][] {
  const { problem, threads, fusedMultiplyAdd, wideVectors, memoryLimit } = cpu;
  return [
    ["works", problem === null ? "yes" : "no"],
    ["threads", String(threads)],
    ["fused multiply-add", fusedMultiplyAdd ? "yes" : "no"],
    ["vectors", wideVectors ? "256 bits" : "128 bits"],
    ["memory", `at most ${bytes(memoryLimit)}`],
  ];
}

function adapterLines({ adapter, vulkan, mesaPackage }: Diagnosis): [string, string][] {
  const drivers = vulkan.drivers.map(({ path }) => path.slice(path.lastIndexOf("/") + 1));
  const installed: [string, string] = ["installed drivers", drivers.join(", ") || "none"];
  if (adapter === null || !adapter.found) return [["adapter", "none"], installed];
  const lanes = adapter.subgroupSize > 0 ? `, subgroups of ${adapter.subgroupSize}` : "";
  const mesa = adapter.software && mesaPackage !== null ? ` (Mesa ${mesaPackage})` : "";
  return [
    ["adapter", `${adapter.description || `vendor ${adapter.vendor}`}`],
    ["driver", `${adapter.driver || "unknown"}${mesa}`],
    installed,
    ["kernels", `${adapter.profile ?? "none"}${lanes}`],
    ["features that work", adapter.featuresUsable.join(", ") || "none"],
    ...LIMITS.flatMap(([name, title, unit]): [string, string][] => {
      const limit = adapter.limits[name];
      if (limit === undefined) return [];
      return [[title, unit === "bytes" ? bytes(limit) : String(limit)]];
    }),
  ];
}

function hubLines({ endpoint, token, cache, offline }: HubReport): [string, string][] {
  return [
    ["endpoint", endpoint],
    ["token", token === null ? "none" : `set (${token})`],
    ["cache", cache],
    ["network", offline === null ? "used" : `not used: ${offline}`],
  ];
}

function renderFinding({ severity, text, remedy }: Finding, colours: boolean): string {
  const mark = severity === "error"
    ? style("red", "missing:", colours)
    : style("yellow", "note:", colours);
  const line = remedy === null ? "" : `\n  run: ${style("bold", remedy, colours)}`;
  return `${mark} ${text}${line}`;
}

function style(format: "bold" | "red" | "green" | "yellow", text: string, on: boolean): string {
  return on ? styleText(format, text, { validateStream: false }) : text;
}
